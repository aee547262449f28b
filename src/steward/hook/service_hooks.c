#include "steward/hook/service_hooks.h"

#include "steward/hook/environment.h"
#include "steward/hook/hook.h"
#include "steward/hook/line.h"
#include "steward/hook/order.h"
#include "steward/log/log.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum { AT_ONCE = 16 };

struct run {
	struct service_hooks *hooks;
	char service[SERVICE_NAME_SIZE];
	struct hook_order order;
	struct hook *hook;
	struct hook_turn turn;
};

struct service_hooks {
	enum hook_event event;
	const struct service_hooks_callbacks *callbacks;
	void *context;
	uv_loop_t *loop;
	struct hook_line line;
	size_t count, left;
	struct run run[];
};

int service_hooks_new(struct service_hooks **ret, const struct config *config, enum hook_event event,
	bool (*is_wanted)(const void *context, const struct service_config *service), const void *is_wanted_context)
{
	struct service_hooks *hooks = calloc(1, sizeof *hooks + config->service_count * sizeof hooks->run[0]);
	if (!hooks)
		return -ENOMEM;
	hooks->event = event;
	hooks->line.concurrency = AT_ONCE;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *service = &config->services[i];
		struct run *run = &hooks->run[hooks->count];
		if (!service_hook(service, event)->command || !is_wanted(is_wanted_context, service))
			continue;
		if (hook_order_copy(&run->order, service_hook(service, event), config->settings.state_directory)) {
			service_hooks_free(hooks);
			return -ENOMEM;
		}
		run->hooks = hooks;
		snprintf(run->service, sizeof run->service, "%s", service->name);
		hooks->count++;
	}
	if (!hooks->count) {
		service_hooks_free(hooks);
		hooks = NULL;
	}
	*ret = hooks;
	return 0;
}

static void on_line(void *context, const char *line)
{
	struct run *run = context;
	log_line(LOG_INFO, "%s: %s hook: %s", run->service, hook_event_word(run->hooks->event), line);
}

/* Failed if there is a text. The batch may be gone after it. */
static void run_over(struct run *run, const char *text)
{
	struct service_hooks *hooks = run->hooks;
	if (text) {
		char line[640];
		snprintf(line, sizeof line, "services.%s.hooks.%s: %s", run->service, hook_event_word(hooks->event), text);
		hooks->callbacks->on_failure(hooks->context, line);
	}
	hook_line_leave(&run->turn);
	if (!--hooks->left)
		hooks->callbacks->on_done(hooks->context);
}

static void on_end(void *context, const struct hook_result *result)
{
	struct run *run = context;
	char text[512];
	hook_result_describe(text, sizeof text, result, &run->order);
	hook_close(run->hook);
	run->hook = NULL;
	run_over(run, result->outcome == HOOK_EXITED && !result->value ? NULL : text);
}

static void on_turn(struct hook_turn *turn)
{
	static const struct hook_callbacks callbacks = {.on_line = on_line, .on_end = on_end};
	struct run *run = (struct run *)((char *)turn - offsetof(struct run, turn));
	struct session_record none = {0};
	struct hook_facts facts = {.event = run->hooks->event, .session = &none, .environment = run->order.environment};
	struct hook_environment environment;
	memcpy(none.service, run->service, sizeof none.service);
	hook_environment_init(&environment);
	hook_environment_fill(&environment, &facts);
	int r = -ENOMEM;
	if (!environment.failed) {
		struct hook_program program = hook_order_program(&run->order, environment.list);
		/* It is not recorded, so a successor could not end it. */
		program.dies_with_us = true;
		r = hook_start(&run->hook, run->hooks->loop, &program, false, &callbacks, run);
	}
	hook_environment_fini(&environment);
	if (r)
		run_over(run, strerror(-r));
	else
		hook_open(run->hook);
}

void service_hooks_begin(
	struct service_hooks *hooks, uv_loop_t *loop, const struct service_hooks_callbacks *callbacks, void *context)
{
	hooks->loop = loop;
	hooks->callbacks = callbacks;
	hooks->context = context;
	/* One more than there are, so that on_done cannot come before all had their chance. */
	hooks->left = hooks->count + 1;
	for (size_t i = 0; i < hooks->count; i++) {
		hooks->run[i].turn.on_turn = on_turn;
		if (hook_line_join(&hooks->line, &hooks->run[i].turn, HOOK_LINE_UNBOUNDED) > 0)
			on_turn(&hooks->run[i].turn);
	}
	if (!--hooks->left)
		callbacks->on_done(context);
}

bool service_hooks_has(const struct service_hooks *hooks, const char *service)
{
	for (size_t i = 0; hooks && i < hooks->count; i++)
		if (!strcmp(hooks->run[i].service, service))
			return true;
	return false;
}

void service_hooks_free(struct service_hooks *hooks)
{
	for (size_t i = 0; hooks && i < hooks->count; i++) {
		if (hooks->run[i].hook) {
			process_group_signal(hook_group(hooks->run[i].hook), SIGKILL);
			hook_close(hooks->run[i].hook);
		}
		hook_order_fini(&hooks->run[i].order);
	}
	free(hooks);
}
