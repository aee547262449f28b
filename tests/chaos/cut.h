/* The end of a side that does not end in order: when it comes, and how. */
#ifndef CHAOS_CUT_H
#define CHAOS_CUT_H
#include "peer.h"

bool cut_is_due(struct peer *peer);

/* PHASE_RUNNING: over at once, or PHASE_SETTLING or PHASE_CLOSED from here on; or nothing, where the connection is dead already.
 */
void cut_begin(struct peer *peer);

/* PHASE_SETTLING */
void cut_when_settled(struct peer *peer);

/* By a reset, whatever its plan. */
void cut_now(struct peer *peer, enum did did);

#endif
