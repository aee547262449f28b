/* What an operator has drained: services, which accept nobody then, and backends of services, which get no new sessions.
 *
 * It stands in every plan, and so outlives the steward; a reload keeps of it what the new config still has. Owner: the steward's role;
 * ends by drains_fini. Zeroed, it is empty. */
#ifndef STEWARD_PLAN_DRAINS_H
#define STEWARD_PLAN_DRAINS_H
#include "steward/config/config.h"
#include "wire/plan.h"

/* What is drained, or is to be. */
struct drain {
	char service[SERVICE_NAME_SIZE];
	char backend[ADDRESS_TEXT_SIZE]; /* as configured; "": the service itself */
};

struct drains {
	struct drain *items;
	size_t count;
};

void drains_fini(struct drains *drains);

/* "SERVICE" or "SERVICE/BACKEND". 0, or -EINVAL: that can be neither. */
int drain_parse(struct drain *ret, const char *what);
bool drain_is_in(const struct drain *drain, const struct config *config);

/* Those of `from` that config has. 0 or -ENOMEM; *ret is as it was then. */
int drains_copy(struct drains *ret, const struct drains *from, const struct config *config);

/* What a predecessor's plan says. 0 or -ENOMEM. */
int drains_from_plan(struct drains *ret, const struct plan *plan);

/* From now on it is drained, or no longer. 0 or -ENOMEM. */
int drains_set(struct drains *drains, const struct drain *what, bool drained);

/* backend NULL: the service itself. */
bool drains_has(const struct drains *drains, const char *service, const char *backend);

#endif
