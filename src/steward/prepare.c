/* What services need before their addresses are bound, and after they are no more: prepare_listen and shutdown. */
#include "steward/steward.h"

#include "steward/log/log.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* It is about to listen where it does not yet. */
static bool is_new_somewhere(const void *context, const struct service_config *service)
{
	const struct steward *s = context;
	const struct service_config *old = s->config ? config_service(s->config, service->name) : NULL;

	for (size_t i = 0; i < service->listen_count; i++) {
		bool known = false;

		for (size_t k = 0; old && k < old->listen_count; k++)
			known = known || strcmp(old->listen[k].text, service->listen[i].text) == 0;
		if (!known)
			return true;
	}
	return false;
}

static void on_prepare_failure(void *context, const char *text)
{
	struct steward *s = context;

	report_add(&s->change.report, "%s: %s", s->change.config->file, text);
	s->change.refused = true;
}

static void on_prepared(void *context)
{
	struct steward *s = context;

	s->change.state = CHANGE_RESOLVING;
	s->change.prepared = true;
	steward_on_resolved(s);
}

int steward_prepare(struct steward *s)
{
	static const struct service_hooks_callbacks callbacks = {on_prepare_failure, on_prepared};
	struct change *c = &s->change;
	int r = service_hooks_new(&c->preparing, c->config, HOOK_PREPARE_LISTEN, is_new_somewhere, s);

	if (r < 0 || !c->preparing)
		return r;
	c->state = CHANGE_PREPARING;
	service_hooks_begin(c->preparing, &s->loop, &callbacks, s);
	return 1;
}

static void on_farewell_failure(void *context, const char *text)
{
	(void)context;
	log_line(LOG_ERR, "%s", text);
}

static void on_farewell_done(void *context)
{
	struct steward *s = context;

	service_hooks_free(s->farewell);
	s->farewell = NULL;
	if (s->phase == PHASE_RELEASING) {
		steward_farewell_all(s);
	} else if (s->change.deferred) {
		s->change.deferred = false;
		steward_on_resolved(s);
	}
}

void steward_begin_farewell(struct steward *s)
{
	static const struct service_hooks_callbacks callbacks = {on_farewell_failure, on_farewell_done};

	if (!s->farewell || s->farewell_begun)
		return;
	s->farewell_begun = true;
	service_hooks_begin(s->farewell, &s->loop, &callbacks, s);
}

static void farewell(struct steward *s, const struct config *config,
	bool (*is_wanted)(const void *context, const struct service_config *service))
{
	s->farewell_begun = false;
	if (service_hooks_new(&s->farewell, config, HOOK_SHUTDOWN, is_wanted, s) < 0)
		log_line(LOG_ERR, "no memory to run shutdown hooks");
}

static bool is_removed(const void *context, const struct service_config *service)
{
	const struct steward *s = context;

	return !config_service(s->change.config, service->name);
}

void steward_farewell_removed(struct steward *s)
{
	if (s->config)
		farewell(s, s->config, is_removed);
}

static bool is_given_up(const void *context, const struct service_config *service)
{
	const struct steward *s = context;

	return service_hooks_has(s->change.preparing, service->name) && !config_service(s->config, service->name);
}

void steward_farewell_given_up(struct steward *s)
{
	if (!s->change.preparing || !s->config || s->change.config == s->config)
		return;
	farewell(s, s->change.config, is_given_up);
	steward_begin_farewell(s);
}

static bool is_any(const void *context, const struct service_config *service)
{
	(void)context;
	(void)service;
	return true;
}

void steward_farewell_all(struct steward *s)
{
	if (!s->farewell && s->config && !s->farewell_said) {
		s->farewell_said = true;
		farewell(s, s->config, is_any);
	}
	if (s->farewell) {
		steward_begin_farewell(s);
		return;
	}
	s->phase = PHASE_STOPPED;
	upstream_say(&s->upstream, MESSAGE_STOPPED);
}
