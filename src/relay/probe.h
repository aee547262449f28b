/* Asking both peers of a session for a sign of life now, whatever its policy: the kernel knows the answer (TCP_INFO,
 * sock_diag(7)).
 *
 * An idle socket sends a keepalive probe at once when TCP_KEEPIDLE is lowered below the time that it has been silent; with bytes
 * outstanding the kernel asks by itself. The policy's numbers come back after PROBE_MS, or at a successor's start (TOLD_PROBE).
 */
#ifndef RELAY_PROBE_H
#define RELAY_PROBE_H
#include <stdint.h>

struct relay;
struct session;

enum { PROBES_MAX = 256, PROBE_MS = 2500 };

/* The sessions that are being asked, oldest first. */
struct probes {
	uint32_t count;
	struct {
		uint32_t slot;
		uint64_t id, until_ms;
	} of[PROBES_MAX];
};

/* Asks. With PROBES_MAX under way already nothing is asked: who waits for the answer gets none. */
void probe_ask(struct relay *relay, struct session *session);

/* Ends those whose time is over; to be called now and then. */
void probe_end_due(struct relay *relay);

/* A predecessor asked, and did not live to end it. */
void probe_adopt(struct relay *relay, struct session *session);

#endif
