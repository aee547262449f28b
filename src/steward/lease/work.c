/* The hook that is at work for a lease: a process, or what a helper was asked. */
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <errno.h>
#include <syslog.h>

static const struct hook_order *order_of(const struct lease *lease, enum hook_event event)
{
	switch (event) {
	case HOOK_ACQUIRE:
		return &lease->acquire;
	case HOOK_CONNECTED:
		return &lease->record.connected;
	case HOOK_RENEW:
		return &lease->record.renew;
	case HOOK_RELEASE:
	case HOOK_PREPARE_LISTEN:
	case HOOK_SHUTDOWN:
	case HOOK_EVENTS:
		break;
	}
	return &lease->record.release;
}

static uint32_t attempt_of(const struct lease *lease, enum hook_event event)
{
	switch (event) {
	case HOOK_RENEW:
		return lease->record.renewals;
	case HOOK_RELEASE:
		return lease->record.attempts;
	case HOOK_ACQUIRE:
	case HOOK_CONNECTED:
	case HOOK_PREPARE_LISTEN:
	case HOOK_SHUTDOWN:
	case HOOK_EVENTS:
		break;
	}
	return 1;
}

int lease_start_hook(struct lease *lease, enum hook_event event, const struct hook_callbacks *callbacks)
{
	const struct hook_order *order = order_of(lease, event);
	struct hook_facts facts = {
		.event = event,
		.fence = lease->item.fence,
		.session = &lease->record.session,
		.environment = order->environment,
		.variables = lease->record.variables,
		.attempt = attempt_of(lease, event),
		.recovered = lease->record.recovered,
		.unknown = lease->record.unknown,
	};
	struct hook_environment environment;
	hook_environment_init(&environment);
	hook_environment_fill(&environment, &facts);
	int r = -ENOMEM;
	if (!environment.failed && order->helper) {
		r = helpers_call(&lease->call, &lease->leases->helpers, order, lease->record.session.service, lease->item.fence,
			environment.list, callbacks, lease);
	} else if (!environment.failed) {
		struct hook_program program = hook_order_program(order, environment.list);
		r = hook_start(&lease->hook, lease->leases->loop, &program, event == HOOK_ACQUIRE, callbacks, lease);
	}
	hook_environment_fini(&environment);
	if (!r && lease->hook)
		lease->record.hook = *hook_group(lease->hook);
	return r;
}

void lease_describe(char *text, size_t size, const struct lease *lease, enum hook_event event, const struct hook_result *result)
{
	hook_result_describe(text, size, result, order_of(lease, event));
}

static enum hook_event event_now(const struct lease *lease)
{
	if (lease->phase == PHASE_ACQUIRING)
		return HOOK_ACQUIRE;
	return lease->held.stage != HELD_QUIET ? lease->held.event : HOOK_RELEASE;
}

void lease_on_hook_line(void *context, const char *line)
{
	struct lease *lease = context;
	LEASE_LOG(lease, LOG_INFO, "%s hook: %s", hook_event_word(event_now(lease)), line);
}

/* Whoever waits for its answer does so no longer; the lease has to. */
void lease_on_hook_stuck(void *context)
{
	struct lease *lease = context;
	LEASE_LOG(lease, LOG_ERR,
		"%s hook does not end, though it was killed (process group %d); nothing else runs for it until then",
		hook_event_word(event_now(lease)), (int)hook_group(lease->hook)->pid);
	if (lease->phase == PHASE_ACQUIRING)
		lease_refuse(lease, WHO_HOOK, HOW_TIMEOUT, 0);
}

void lease_close_hook(struct lease *lease)
{
	if (lease->hook)
		hook_close(lease->hook);
	if (lease->call)
		helper_call_close(lease->call);
	lease->hook = NULL;
	lease->call = NULL;
}

void lease_open_hook(struct lease *lease)
{
	if (lease->call)
		helper_call_open(lease->call);
	else
		hook_open(lease->hook);
}

void lease_drop_hook(struct lease *lease)
{
	lease_close_hook(lease);
	lease_untried(lease);
	hook_line_leave(&lease->turn);
}
