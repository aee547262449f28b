/* The ring of events in the ledger, of which the steward makes the log: each is put there once, whatever dies in between.
 *
 * An event is put before the slot's state says what it tells, so a successor puts it again: all that can have been told so is the last
 * one of the ring, which is remembered at start. */
#ifndef RELAY_RING_H
#define RELAY_RING_H
#include "relay/session.h"

/* Remembers what a predecessor said last. Before the first ring_put. */
void ring_adopt(struct relay *relay);

/* That session is connected, or has ended; its record is copied. */
void ring_put(struct relay *relay, const struct session *session, enum event_kind kind);

#endif
