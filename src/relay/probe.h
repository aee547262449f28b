/* Asking both peers of a session for a sign of life now, whatever its policy: the kernel knows the answer (TCP_INFO,
 * sock_diag(7)).
 *
 * An idle socket sends a keepalive probe at once when TCP_KEEPIDLE is lowered below the time that it has been silent; with bytes
 * outstanding the kernel asks by itself. The policy's numbers come back some seconds later, or at a successor's start
 * (TOLD_PROBE); all but the count, if there is no answer yet, which comes back with it. Meanwhile it is such that a dead peer is
 * noticed neither earlier nor later than without us.
 */
#ifndef RELAY_PROBE_H
#define RELAY_PROBE_H
#include <stdbool.h>

struct relay;
struct session;

/* Asks, or asks again. */
void probe_ask(struct relay *relay, struct session *session);

/* Asks the client alone, once more each time, for one who judges by himself: meanwhile the kernel does not. TCP, with nothing
 * outstanding. It ends as above, or by probe_end. first: it is not being asked yet. */
void probe_press(struct relay *relay, struct session *session, bool first);

/* No more questions of ours: its keepalive is as its policy says, whatever it was. */
void probe_end(struct relay *relay, struct session *session);

/* Ends those whose time is over; to be called now and then. */
void probe_end_due(struct relay *relay);

/* A predecessor asked, and did not live to end it. */
void probe_adopt(struct relay *relay, struct session *session);

#endif
