/* Taking sessions that another living relay gives (give.h): each is listed here first, as ARRIVING, and begun once the giver's
 * ledger says that it is GONE from there. */
#ifndef RELAY_ARRIVE_H
#define RELAY_ARRIVE_H
#include "relay/bridge.h"

/* Takes the descriptors. */
void arrive_offered(struct bridge *bridge, struct bridge_packet *packet, const int *fds, int count);

/* It is GONE there: begins it, if it is not begun yet, and says so. */
void arrive_go(struct bridge *bridge, const struct bridge_packet *packet);

/* By order of someone who took its giver for its owner. */
void arrive_end(struct bridge *bridge, const struct bridge_packet *packet);

/* Looks into the giver's ledger what has become of all that is ARRIVING from there. */
void arrive_settle(struct bridge *bridge);

/* At start: those that are ARRIVING from nowhere are dropped, the others are settled. */
void arrive_adopt(struct relay *relay);

/* Its giver's slot is not GONE any more, so the steward knows where it is; until then it does not go on to yet another relay. */
bool arrive_is_over(const struct relay *relay, const struct slot *slot);

#endif
