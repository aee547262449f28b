/* The numbers by which ledgers, census and plans name services, backends and listeners. A name keeps its number for as long as
 * the tree lives: through reloads, and through the steward's own death (plan_ids_seed).
 *
 * Services and backends are indices into the census, so there are few of them. A fresh number is taken as long as there is one;
 * only then one that was set free, the longest free first, so that a late reader of an old record hardly ever meets a number's
 * second owner. Listener numbers are never used twice. Owner: the steward's role; it dies with plan_ids_free. */
#ifndef STEWARD_PLAN_IDS_H
#define STEWARD_PLAN_IDS_H
#include "steward/config/config.h"
#include "wire/plan.h"

struct plan_ids;
enum plan_id_kind { PLAN_ID_SERVICE, PLAN_ID_BACKEND };

struct plan_ids *plan_ids_new(void); /* NULL: no memory */
void plan_ids_free(struct plan_ids *ids);

/* Takes over what a mapped plan of this tree says. 0 or -ENOMEM. */
int plan_ids_seed(struct plan_ids *ids, const struct plan *plan);

/* A ledger lists this listener. 0, -ENOMEM, or -EEXIST: that address has another number already, or that number another
 * address (both stay burnt). */
int plan_ids_seed_listener(struct plan_ids *ids, const char *address, uint32_t id);

/* A session, or a count, of a predecessor's time refers to this number, whose name nobody knows any more: it is given to no one
 * until plan_ids_sweep sets it free. 0 (also for a number that is none, or has a name) or -ENOMEM. */
int plan_ids_reserve(struct plan_ids *ids, enum plan_id_kind kind, uint32_t id);

/* The number, given now if there was none. 0 and *ret; -ENOMEM; -ENOSPC: all are in use. */
int plan_ids_service(struct plan_ids *ids, const char *name, uint32_t *ret);
int plan_ids_backend(struct plan_ids *ids, const char *service, const char *address, uint32_t *ret);
int plan_ids_listener(struct plan_ids *ids, const char *address, uint32_t *ret);

/* Sets free the numbers of what the config does not have, where `in_use` says that nothing refers to them any more: no session in
 * any ledger counts for them, no event that is still to be taken names them, and every relay has taken a plan without them.
 * Addresses of listeners that are gone are forgotten too: such an address gets a new number when it comes back. */
void plan_ids_sweep(struct plan_ids *ids, const struct config *config,
	bool (*in_use)(void *context, enum plan_id_kind kind, uint32_t id), void *context);

#endif
