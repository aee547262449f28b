/* Hooks of services, not of a session: one event for a number of services, a few at a time.
 *
 * All is copied when it is made, so that the config may go. Its owner frees it, after on_done or before: then what runs is
 * killed. */
#ifndef STEWARD_HOOK_SERVICE_HOOKS_H
#define STEWARD_HOOK_SERVICE_HOOKS_H
#include "steward/config/config.h"

#include <stdbool.h>
#include <uv.h>

struct service_hooks;

struct service_hooks_callbacks {
	void (*on_failure)(void *context, const char *text); /* "services.NAME.hooks.EVENT: ..." */
	void (*on_done)(void *context);                      /* once, from service_hooks_begin or later */
};

/* For the services of that config that have such a hook and are wanted. 0, with *ret NULL if there are none; -ENOMEM. */
int service_hooks_new(struct service_hooks **ret, const struct config *config, enum hook_event event,
	bool (*is_wanted)(const void *context, const struct service_config *service), const void *is_wanted_context);

void service_hooks_begin(
	struct service_hooks *hooks, uv_loop_t *loop, const struct service_hooks_callbacks *callbacks, void *context);
bool service_hooks_has(const struct service_hooks *hooks, const char *service); /* NULL has none */
void service_hooks_free(struct service_hooks *hooks);                           /* may be called in on_done */

#endif
