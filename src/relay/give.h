/* Giving sessions to another living relay, one by one, as GIVE says: only those that are RELAYING, a few at a time, so that none
 * rests for long. bridge.h has what goes between the two; who owns what, and what comes of each death, is told in give.c. */
#ifndef RELAY_GIVE_H
#define RELAY_GIVE_H
#include "relay/bridge.h"

/* Before anything is adopted: makes relay->giving, which lives as long as the process. 0 or -ENOMEM. */
int give_init(struct relay *relay);

/* Once all is adopted, and when GIVE says to whom. */
void give_begin(struct relay *relay);
void give_told(struct relay *relay, uint32_t to);

/* Offers some more, at each turn; it is due if there may be some. */
void give_turn(struct relay *relay);
bool give_is_due(const struct relay *relay);
void give_beat(struct relay *relay);

/* What the taker says. */
void give_ready(struct bridge *bridge);
void give_had(struct bridge *bridge, const struct bridge_packet *packet);
void give_refused(struct bridge *bridge, const struct bridge_packet *packet);

/* Of which slot of ours it speaks, if that is in this state and is offered there; or NULL. */
struct session *give_known(struct bridge *bridge, const struct bridge_packet *packet, enum slot_state state);

/* That bridge is closed. */
void give_lost(struct bridge *bridge);

/* LEAVING: it is ours again, and RELAYING. */
void give_take_back(struct relay *relay, struct session *session);

#endif
