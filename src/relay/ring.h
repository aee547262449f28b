/* The ring of events in the ledger, of which the steward makes the log: each is put there once, whatever dies in between.
 *
 * An event is put, then its slot notes so (TOLD_*). Between the two a relay may die; then it is the last one of the ring. */
#ifndef RELAY_RING_H
#define RELAY_RING_H
#include "relay/session.h"

/* Notes what a predecessor said last and may not have noted. Before the first ring_put. */
void ring_adopt(struct relay *relay);

/* That session is connected, or has ended; its record is copied. */
void ring_put(struct relay *relay, const struct session *session, enum event_kind kind);

#endif
