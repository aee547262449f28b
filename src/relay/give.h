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

/* A predecessor left it GONE. */
void give_adopt(struct relay *relay, struct session *session);

/* Offers some more, at each turn; it is due if there may be some. */
bool give_is_open(const struct relay *relay); /* some are GONE, and not settled yet */
void give_turn(struct relay *relay);
bool give_is_due(const struct relay *relay);
void give_beat(struct relay *relay);

/* What the taker says. */
void give_ready(struct bridge *bridge);
void give_had(struct bridge *bridge, const struct bridge_packet *packet);
void give_refused(struct bridge *bridge, const struct bridge_packet *packet);
void give_done(struct bridge *bridge, const struct bridge_packet *packet);

/* That bridge is closed. */
void give_lost(struct bridge *bridge);

/* LEAVING: it is ours again, and RELAYING. */
void give_take_back(struct relay *relay, struct session *session);

/* Closes what we have of a session that is another relay's. Its pipes must not look like idle ones of ours. */
void give_let_go(struct relay *relay, struct session *session);

/* GONE: who has it now is to end it. */
void give_end(struct relay *relay, struct session *session, const struct reason *reason, bool now);

/* GONE: the steward knows where its lease belongs now. */
void give_filed(struct relay *relay, struct session *session);

#endif
