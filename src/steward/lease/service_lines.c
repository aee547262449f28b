#include "steward/lease/service_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONCURRENCY_UNCONFIGURED = 32, /* of hooks of a service that is no longer in the config */
};

struct service_line {
	char service[SERVICE_NAME_SIZE];
	struct hook_line line[HOOK_EVENTS];
	struct cooldown cooldown;
	struct service_line *next;
};

static uint32_t configured_concurrency(const struct config *in_force, const char *service, enum hook_event event)
{
	const struct service_config *config = in_force ? config_service(in_force, service) : NULL;
	if (!config)
		return CONCURRENCY_UNCONFIGURED;
	const struct hook_config *hook = service_hook(config, event);
	return hook->command && hook->concurrency ? hook->concurrency : CONCURRENCY_UNCONFIGURED;
}

static struct service_line *get(struct service_lines *lines, const struct config *config, const char *service)
{
	struct service_line *one = lines->first;
	while (one && strcmp(one->service, service))
		one = one->next;
	if (!one) {
		if (!(one = calloc(1, sizeof *one)))
			return NULL;
		snprintf(one->service, sizeof one->service, "%s", service);
		for (enum hook_event event = 0; event < HOOK_EVENTS; event++)
			one->line[event].concurrency = configured_concurrency(config, service, event);
		one->next = lines->first;
		lines->first = one;
	}
	return one;
}

struct hook_line *service_lines_get(
	struct service_lines *lines, const struct config *config, const char *service, enum hook_event event)
{
	struct service_line *one = get(lines, config, service);
	return one ? &one->line[event] : NULL;
}

struct cooldown *service_lines_cooldown(struct service_lines *lines, const struct config *config, const char *service)
{
	struct service_line *one = get(lines, config, service);
	return one ? &one->cooldown : NULL;
}

void service_lines_configure(struct service_lines *lines, const struct config *config)
{
	for (struct service_line *one = lines->first; one; one = one->next) {
		one->cooldown = (struct cooldown){0};
		for (enum hook_event event = 0; event < HOOK_EVENTS; event++)
			hook_line_limit(&one->line[event], configured_concurrency(config, one->service, event));
	}
}

void service_lines_fini(struct service_lines *lines)
{
	while (lines->first) {
		struct service_line *one = lines->first;
		lines->first = one->next;
		free(one);
	}
}
