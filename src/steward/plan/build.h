/* From a config, the addresses known now and the stable numbers to a plan that relays can take. */
#ifndef STEWARD_PLAN_BUILD_H
#define STEWARD_PLAN_BUILD_H
#include "steward/names/resolver.h"
#include "steward/plan/drains.h"
#include "steward/plan/ids.h"

/* Which plan it is, and of which config. */
struct plan_stamp {
	uint32_t generation, loads; /* as in plan_header */
	uint64_t loaded_us;
	uint32_t applied;
};

/* A drained service has no listeners in it, and a drained backend no addresses. drains NULL: nothing is. The sealed memfd; -ENOMEM; -ENOSPC: no number is free for a service or backend (ids.h); or what memfd_create says. */
int plan_build(const struct config *config, const struct drains *drains, const struct resolver *resolver, struct plan_ids *ids,
	const struct plan_stamp *stamp);

#endif
