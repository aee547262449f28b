/* A session that is GONE from here: another relay's, while its slot still says so. Once that relay has begun it, and the steward
 * knows whose its lease is, the slot is free. The table of steps is in give.c. */
#ifndef RELAY_GONE_H
#define RELAY_GONE_H
#include "relay/bridge.h"

/* LEAVING, and the taker has all of it in that slot: lets go of it. */
void gone_begin(struct relay *relay, struct session *session, uint32_t taker_slot);

/* A predecessor left it GONE. */
void gone_adopt(struct relay *relay, struct session *session);

/* Closes what we have of a session that is another relay's. Its pipes must not look like idle ones of ours. */
void gone_let_go(struct relay *relay, struct session *session);

/* The taker has begun it. */
void gone_done(struct bridge *bridge, const struct bridge_packet *packet);

/* The steward knows where its lease belongs now. */
void gone_filed(struct relay *relay, struct session *session);

/* Who has it now is to end it. */
void gone_end(struct relay *relay, struct session *session, const struct reason *reason, bool now);

/* At each heartbeat. */
void gone_beat(struct relay *relay);

#endif
