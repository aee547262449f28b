/* The terms of a living session: its policy, in the slot and on its sockets.
 *
 * The slot comes first, marked (TOLD_TERMS), so that whoever starts after a death in between sets the sockets to what the slot
 * says. What cannot change is whether it has a lease. */
#ifndef RELAY_TERMS_H
#define RELAY_TERMS_H
#include "relay/session.h"

/* From now on it lives under that policy. A deadline that has passed under it ends the session. */
void terms_apply(struct relay *relay, struct session *session, const struct policy *policy);

/* At adoption: what a death cut off is finished. */
void terms_adopt(struct relay *relay, struct session *session);

#endif
