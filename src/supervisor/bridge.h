/* A pair that retires gives its sessions to one that stays, over a bridge (relay/bridge.h): a channel between the two relays, and each the
 * other's ledger, read-only. Which bridges there are, and who gives to whom, stands in their ledgers; so nothing of it is kept here, and
 * what a relay has not heard, or a predecessor has not said, is said again. */
#ifndef SUPERVISOR_BRIDGE_H
#define SUPERVISOR_BRIDGE_H
#include "supervisor/pair.h"

/* A few times a second, for each pair: has it give its sessions away if it retires, and keep them if not. Where those that stay have
 * no room, one after the other is asked. */
void bridge_fit(struct pair *pair);

#endif
