/* Which relay is to have which socket of an address: from the number of relays that are wanted and the ledgers alone, so that any
 * steward comes to the same answers (listeners.h has the table). Known to this folder only. */
#ifndef STEWARD_LISTEN_PLACE_H
#define STEWARD_LISTEN_PLACE_H
#include "steward/listen/listener.h"

enum { PLACE_NOBODY = UINT32_MAX };

/* The relay that is to have that socket, or PLACE_NOBODY. */
uint32_t place_relay(uint32_t workers, const struct listener *listener, uint32_t place);

/* Some relay has it, and can lend it. */
bool place_can_be_lent(const struct listener *listener, const struct ledger_view *view, uint32_t place);

/* Who is to have what stands at that place in a ledger has it, too, and listens. */
bool place_is_elsewhere(uint32_t workers, const struct listener *listener, const struct ledger_view *view, uint32_t place);

/* A relay that is wanted lacks its copy of a shared one, and we have none to give. */
bool place_is_lacking(uint32_t workers, const struct listener *listener, const struct ledger_view *view);

#endif
