/* The last part of a lease's life: release, until it has succeeded. */
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MAX_MS = 5 * 60 * 1000,
};

static void on_due(uv_timer_t *timer)
{
	lease_release(timer->data);
}

/* Who waits behind a lease that cannot be released now is told so, instead of waiting for as long as that lasts. */
static void refuse_successor(struct lease *lease)
{
	struct lease *successor = lease->successor;
	if (!successor)
		return;
	lease_unlink_predecessor(successor);
	LEASE_LOG(successor, LOG_WARNING, "refused: an earlier lease of this session could not be released");
	lease_refuse(successor, WHO_HOOK, HOW_FAILED, 0);
	lease_leave(successor, LEASE_EVENT_WITHDRAWN);
}

static void back_off(struct lease *lease)
{
	uint64_t delay_ms = RETRY_MAX_MS;
	if (lease->failures < 9)
		delay_ms = (uint64_t)RETRY_FIRST_MS << lease->failures;
	lease->failures++;
	delay_ms = delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS;
	delay_ms += (uint64_t)random() % (delay_ms / 4); /* what failed together is not tried again together */
	lease_move(lease, lease->record.attempts < LEASE_FAILED_AFTER ? LEASE_EVENT_RELEASE_FAILED : LEASE_EVENT_KEEPS_FAILING);
	lease_save(lease); /* its process group is forgotten before the number can be another's */
	lease_set_phase(lease, PHASE_BACKOFF);
	refuse_successor(lease);
	if (lease->leases->stopping) {
		LEASE_LOG(lease, LOG_WARNING, "release is left to the next start");
		return;
	}
	if (lease->record.attempts == LEASE_FAILED_AFTER)
		LEASE_LOG(lease, LOG_ERR, "release has failed %d times and counts as failed; it is tried on every %d s",
			LEASE_FAILED_AFTER, RETRY_MAX_MS / 1000);
	uv_timer_start(&lease->timer, on_due, delay_ms, 0);
}

static void set_why(struct lease *lease, const char *why)
{
	free(lease->record.why);
	lease->record.why = lease_must(strdup(why));
}

static void on_release_end(void *context, const struct hook_result *result)
{
	struct lease *lease = context;
	lease->record.hook = (struct process_group){0};
	lease_drop_hook(lease);
	if (lease->phase == PHASE_RELEASING && result->outcome == HOOK_EXITED && !result->value) {
		lease_leave(lease, LEASE_EVENT_RELEASED);
		return;
	}
	/* A helper is started anew for it, and only one that dies of it each time is left alone for a while. */
	if (result->outcome == HOOK_LOST && ++lease->losses < LEASE_LOSSES_MAX && !lease->leases->stopping) {
		LEASE_LOG(lease, LOG_WARNING, "release hook was lost with its helper; it runs again");
		lease_move(lease, LEASE_EVENT_RELEASE_LOST);
		lease_release(lease);
		return;
	}
	char text[512];
	lease_describe(text, sizeof text, lease, HOOK_RELEASE, result);
	set_why(lease, text);
	LEASE_LOG(lease, LOG_ERR, "release hook %s (attempt %" PRIu32 "); it will be tried again", text, lease->record.attempts);
	back_off(lease);
}

static const struct hook_callbacks release_callbacks = {
	.on_line = lease_on_hook_line, .on_end = on_release_end, .on_stuck = lease_on_hook_stuck};

void lease_release_turn(struct lease *lease)
{
	lease->record.attempts++;
	int r = lease_start_hook(lease, HOOK_RELEASE, &release_callbacks);
	if (r) {
		LEASE_LOG(lease, LOG_ERR, "release hook could not be started: %s (attempt %" PRIu32 ")", strerror(-r),
			lease->record.attempts);
		set_why(lease, strerror(-r));
		hook_line_leave(&lease->turn);
		back_off(lease);
		return;
	}
	lease_set_phase(lease, PHASE_STARTING);
	lease_save(lease);
}

void lease_release(struct lease *lease)
{
	uv_timer_stop(&lease->timer);
	lease->over = true;
	lease->record.hook = (struct process_group){0};
	if (!lease->record.release.command) {
		lease_leave(lease, LEASE_EVENT_NOTHING_TO_GIVE);
		return;
	}
	if (lease->record.state == LEASE_FAILED)
		lease_move(lease, LEASE_EVENT_RETRIED);
	else if (lease->record.state != LEASE_RELEASING)
		lease_move(lease, LEASE_EVENT_OVER);
	lease_set_phase(lease, PHASE_TURN);
	/* The helper of an event that timed out still works at it, whoever runs this release. It has as long again before it is
	 * ended. */
	if (helpers_are_late(&lease->leases->helpers, lease->item.fence)) {
		uv_timer_start(&lease->timer, on_due, LEASE_LATE_POLL_MS, 0);
		return;
	}
	struct hook_line *line = lease_must(leases_line(lease->leases, lease->record.session.service, HOOK_RELEASE));
	if (hook_line_join(line, &lease->turn, HOOK_LINE_UNBOUNDED) > 0)
		lease_release_turn(lease);
}

void lease_retry_now(struct lease *lease)
{
	if (lease->phase == PHASE_BACKOFF && uv_is_active((uv_handle_t *)&lease->timer))
		lease_release(lease);
}

void lease_refuse_shutdown(struct lease *lease)
{
	if (lease->phase != PHASE_BEHIND && lease->phase != PHASE_QUEUED)
		return;
	lease_refuse(lease, WHO_SYSTEM, HOW_SHUTDOWN, 0);
	lease_leave(lease, LEASE_EVENT_WITHDRAWN);
}
