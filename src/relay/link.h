/* The channel to the steward: a fixed list of requests out, a fixed list of orders in. Nothing that waits for the steward is kept
 * here but the list of who waits; what must survive stands in the slots, and is said again when either side starts. */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H
#include "relay/relay.h"

#include <stdint.h>

/* Drops what was said to a predecessor, says HELLO, and listens. 0 or -errno. */
int link_start(struct relay *relay, int channel);

/* The session has this to say (ACQUIRE, ENDED): said as soon as the channel takes it. */
void link_tell(struct relay *relay, struct session *session, enum message_kind kind);

/* The session is over, and has nothing to say any more. */
void link_forget(struct relay *relay, struct session *session);

/* What could not be said and no event will tell when it can. At each heartbeat. */
void link_try_again(struct relay *relay);

/* There are events to take. */
void link_ring(struct relay *relay);

/* That backend's addresses did not serve. At most twice a second. */
void link_resolve(struct relay *relay, uint32_t backend_id);

/* The plan is in force here, and every session was held against it. */
void link_plan_taken(struct relay *relay);

/* How opening or closing that listener went. */
void link_listening(struct relay *relay, const struct message_place *which, int error);

/* A copy of that listener. */
void link_lend(struct relay *relay, const struct message_place *which, int fd);

#endif
