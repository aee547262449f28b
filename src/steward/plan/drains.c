#include "steward/plan/drains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void drains_fini(struct drains *drains)
{
	free(drains->items);
	*drains = (struct drains){0};
}

int drain_parse(struct drain *ret, const char *what)
{
	const char *slash = strchr(what, '/'); /* no service has one in its name; the path of a unix socket may */
	size_t length = slash ? (size_t)(slash - what) : strlen(what);

	memset(ret, 0, sizeof *ret);
	if (length == 0 || length >= sizeof ret->service || (slash && (!slash[1] || strlen(slash + 1) >= sizeof ret->backend)))
		return -EINVAL;
	memcpy(ret->service, what, length);
	if (slash)
		strcpy(ret->backend, slash + 1);
	return 0;
}

bool drain_is_in(const struct drain *drain, const struct config *config)
{
	const struct service_config *service = config_service(config, drain->service);

	if (!service || !drain->backend[0])
		return service;
	for (size_t i = 0; i < service->backend_count; i++)
		if (strcmp(service->backends[i].address.text, drain->backend) == 0)
			return true;
	return false;
}

static struct drain *find(const struct drains *drains, const char *service, const char *backend)
{
	for (size_t i = 0; drains && i < drains->count; i++)
		if (strcmp(drains->items[i].service, service) == 0 && strcmp(drains->items[i].backend, backend) == 0)
			return &drains->items[i];
	return NULL;
}

bool drains_has(const struct drains *drains, const char *service, const char *backend)
{
	return find(drains, service, backend ? backend : "") != NULL;
}

int drains_set(struct drains *drains, const struct drain *what, bool drained)
{
	struct drain *at = find(drains, what->service, what->backend);

	if (drained == (at != NULL))
		return 0;
	if (at) {
		*at = drains->items[--drains->count];
		return 0;
	}
	at = realloc(drains->items, (drains->count + 1) * sizeof *at);
	if (!at)
		return -ENOMEM;
	drains->items = at;
	at[drains->count++] = *what;
	return 0;
}

int drains_copy(struct drains *ret, const struct drains *from, const struct config *config)
{
	struct drains copy = {0};

	for (size_t i = 0; i < from->count; i++) {
		if (!drain_is_in(&from->items[i], config) || drains_set(&copy, &from->items[i], true) == 0)
			continue;
		drains_fini(&copy);
		return -ENOMEM;
	}
	drains_fini(ret);
	*ret = copy;
	return 0;
}

int drains_from_plan(struct drains *ret, const struct plan *plan)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < plan->header->service_count; i++) {
		const struct plan_service *s = &plan->services[i];
		struct drain what = {0};

		strcpy(what.service, s->name);
		if (s->drained)
			r = drains_set(ret, &what, true);
		for (uint32_t j = 0; r == 0 && j < s->backend_count; j++) {
			const struct plan_backend *b = &plan->backends[s->first_backend + j];

			strcpy(what.backend, b->address);
			if (b->drained)
				r = drains_set(ret, &what, true);
		}
	}
	return r;
}
