/* What a death left half-done in one direction of bytes, put right by the kernel's books. */
#ifndef RELAY_SETTLE_H
#define RELAY_SETTLE_H
#include "relay/session.h"

/* Drops from the source what the target was already given, by the books. 0; -EIO: the target was given
 * less than was taken from the source, which must never be. */
int settle_flow(struct relay *relay, struct session *session, enum side from);

#endif
