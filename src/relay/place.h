/* A session's place in its service: it has one (tally.h), waits for one while those who hold are asked whether they live
 * (on_limit = "reclaim") or until sessions that move count once again, or is refused. While it waits it counts for nothing. */
#ifndef RELAY_PLACE_H
#define RELAY_PLACE_H
#include "relay/session.h"

/* A new session: into the state that it begins with. */
void place_begin(struct relay *relay, struct session *session, const struct plan_service *service);

/* SLOT_WAITING: the steward's ROOM, or the time has come to try again. It goes on, waits on, or is refused. */
void place_try_again(struct relay *relay, struct session *session);

/* A predecessor's session. */
void place_adopt(struct slot *slot);

#endif
