/* The first part of a lease's life: until its acquire has said whether it is held, or its turn to ask has passed. */
#include "steward/hook/answer.h"
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>

static void on_write_late(uv_timer_t *timer)
{
	struct lease *lease = timer->data;
	int error = store_error(lease->leases->store);
	LEASE_LOG(lease, LOG_ERR, "its lease could not be written within the hook's timeout: %s",
		error ? strerror(-error) : "the disk is slow");
	if (lease->phase == PHASE_OPENING) {
		lease_go_without(lease, WHO_SYSTEM, HOW_FAILED, error ? -error : ETIMEDOUT);
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
	} else if (lease->phase == PHASE_CONFIRMING) {
		lease_refuse(lease, WHO_SYSTEM, HOW_FAILED, error ? -error : ETIMEDOUT);
		lease_release(lease);
	}
}

static void confirm(struct lease *lease)
{
	lease_set_phase(lease, PHASE_CONFIRMING);
	lease_save(lease);
	uv_timer_start(&lease->timer, on_write_late, lease->acquire.timeout_ms, 0);
}

static void acquired(struct lease *lease, const struct hook_result *result)
{
	struct hook_answer answer;
	char *bad;
	int r = hook_answer_parse(&answer, result->output, result->output_length, &bad);
	if (r == -ENOMEM)
		lease_must(NULL);
	string_list_free(lease->record.variables);
	lease->record.variables = NULL;
	if (string_list_copy(&lease->record.variables, answer.count ? answer.variables : NULL))
		lease_must(NULL);
	lease->record.route = answer.route;
	if (answer.ignored)
		LEASE_LOG(lease, LOG_WARNING,
			"acquire hook: %zu lines of its output ignored, the first: \"%s\" (would be right: KEY=VALUE, at most "
			"%d)",
			answer.ignored, answer.ignored_line, HOOK_VARIABLES_MAX);
	if (result->output_cut)
		LEASE_LOG(lease, LOG_WARNING, "acquire hook: output beyond %d bytes ignored", HOOK_OUTPUT_MAX);
	if (r) {
		LEASE_LOG(lease, LOG_ERR,
			"acquire hook: backend=%s is no numeric address (would be right: 192.0.2.1:80, [2001:db8::1]:80)", bad);
		lease_refuse(lease, WHO_HOOK, HOW_FAILED, 0);
	}
	free(bad);
	hook_answer_fini(&answer);

	lease_move(lease, LEASE_EVENT_ACQUIRED);
	if (!lease->over) {
		confirm(lease);
		return;
	}
	lease_save(lease); /* its turn to be released may come late, and a successor shall know what it holds */
	lease_release(lease);
}

/* Of this lease nothing is known: its session is to have another once this one is given back. */
static void acquire_anew(struct lease *lease)
{
	struct leases *leases = lease->leases;
	struct lease *next = lease_must(leases_add(leases, &lease->record.key));
	if (hook_order_again(&next->acquire, &lease->acquire) ||
		hook_order_again(&next->record.connected, &lease->record.connected) ||
		hook_order_again(&next->record.renew, &lease->record.renew) ||
		hook_order_again(&next->record.release, &lease->record.release))
		lease_must(NULL);
	next->acquire_queue = lease->acquire_queue;
	next->allow_on_error = lease->allow_on_error;
	next->wanted = lease->wanted;
	next->cooldown_ms = lease->cooldown_ms;
	next->last_try = lease->last_try;
	next->losses = lease->losses;
	next->record.tree = leases->tree;
	next->record.session = lease->record.session;
	next->record.fence = next->item.fence = next->record.session.fence = store_next_fence(leases->store);
	lease->wanted = false;
	lease->record.session.reason = (struct reason){.who = WHO_HOOK, .how = HOW_FAILED, .state = SLOT_ACQUIRING};
	lease_wait(next, lease);
	lease_release(lease);
}

void lease_untried(struct lease *lease)
{
	if (lease->tries)
		cooldown_untried(lease_must(leases_cooldown(lease->leases, lease->record.session.service)));
	lease->tries = false;
}

/* How the hook did, of which the next clients hear. */
static void note_outcome(struct lease *lease, bool failed)
{
	struct cooldown *cooldown = lease_must(leases_cooldown(lease->leases, lease->record.session.service));
	const char *service = lease->record.session.service;
	enum cooldown_change change =
		cooldown_note(cooldown, lease->cooldown_ms, uv_now(lease->leases->loop), failed, lease->tries);
	lease->tries = false;
	switch (change) {
	case COOLDOWN_SAME:
		break;
	case COOLDOWN_BEGUN:
		log_line(LOG_ERR,
			"%s: acquire hook has failed %d times in a row: for %" PRIu32
			" ms no client is let to it, then it is tried "
			"one at a time (see cooldown)",
			service, COOLDOWN_AFTER, lease->cooldown_ms);
		break;
	case COOLDOWN_OVER:
		log_line(LOG_NOTICE, "%s: acquire hook works again; %" PRIu64 " clients were not let to it meanwhile", service,
			cooldown->refused);
		break;
	}
}

/* Not what it was asked for, nor an answer to that. */
static bool is_failure(const struct hook_result *result)
{
	return result->outcome != HOOK_EXITED || result->value == EX_UNAVAILABLE;
}

static enum how how_refused(const struct hook_result *result)
{
	if (is_failure(result))
		return HOW_FAILED;
	return result->value == EX_TEMPFAIL ? HOW_LIMIT : HOW_REFUSED;
}

/* Busy, and it is to wait until those who hold have been asked whether they live. */
static bool waits_for_holders(const struct lease *lease, const struct hook_result *result)
{
	const struct leases *leases = lease->leases;
	return result->outcome == HOOK_EXITED && result->value == EX_TEMPFAIL && lease->wanted && !lease->over &&
	       !lease->last_try && !leases->stopping && leases->callbacks->on_busy &&
	       leases->callbacks->on_busy(leases->context, &lease->record.key, &lease->record.session);
}

static void on_acquire_end(void *context, const struct hook_result *result)
{
	struct lease *lease = context;
	lease->record.hook = (struct process_group){0};
	/* As with the death of a steward: who still waits is asked for anew. */
	bool again =
		result->outcome == HOOK_LOST && ++lease->losses < LEASE_LOSSES_MAX && !lease->over && !lease->leases->stopping;
	/* Before the next in line has its turn. */
	if (lease->phase != PHASE_OPENING && !again)
		note_outcome(lease, is_failure(result));
	lease_drop_hook(lease);
	if (lease->phase == PHASE_OPENING) {
		/* Killed at the gate by someone else: nothing ran. */
		LEASE_LOG(lease, LOG_ERR, "acquire hook ended before it ran");
		lease_go_without(lease, WHO_HOOK, HOW_FAILED, 0);
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
		return;
	}
	if (result->outcome == HOOK_EXITED && !result->value) {
		acquired(lease, result);
		return;
	}

	char text[512];
	lease_describe(text, sizeof text, lease, HOOK_ACQUIRE, result);
	if (waits_for_holders(lease, result)) {
		LEASE_LOG(lease, LOG_INFO, "acquire hook %s: those who hold are asked whether they live", text);
		lease->wanted = false;
		lease_leave(lease, LEASE_EVENT_NOT_ACQUIRED);
		return;
	}
	if (result->outcome == HOOK_EXITED || result->outcome == HOOK_NOT_RUN) {
		bool ran = result->outcome == HOOK_EXITED;
		LEASE_LOG(lease, ran ? LOG_NOTICE : LOG_WARNING, "acquire hook %s: not held", text);
		lease_go_without(lease, WHO_HOOK, how_refused(result), ran ? 0 : result->value);
		lease_leave(lease, LEASE_EVENT_NOT_ACQUIRED);
		return;
	}
	LEASE_LOG(lease, LOG_ERR, "acquire hook %s: unknown whether it took anything; release runs to make sure", text);
	lease_move(lease, LEASE_EVENT_CUT_OFF);
	if (again) {
		acquire_anew(lease);
		return;
	}
	if (lease->allow_on_error && !lease->over) {
		confirm(lease);
		return;
	}
	lease_refuse(lease, WHO_HOOK, result->outcome == HOOK_TIMED_OUT ? HOW_TIMEOUT : HOW_FAILED, 0);
	lease_release(lease);
}

static const struct hook_callbacks acquire_callbacks = {
	.on_line = lease_on_hook_line, .on_end = on_acquire_end, .on_stuck = lease_on_hook_stuck};

static void open_row(struct lease *lease, enum lease_event event, uint32_t patience_ms)
{
	lease_move(lease, event);
	lease_set_phase(lease, PHASE_OPENING);
	lease_save(lease);
	uv_timer_start(&lease->timer, on_write_late, patience_ms, 0);
}

void lease_acquire_turn(struct lease *lease)
{
	if (lease->leases->stopping) {
		lease_refuse_shutdown(lease);
		return;
	}
	struct cooldown *cooldown = lease_must(leases_cooldown(lease->leases, lease->record.session.service));
	if (cooldown_is_cold(cooldown, lease->cooldown_ms, uv_now(lease->leases->loop))) {
		/* It became so while this one waited. */
		cooldown->refused++;
		lease_go_without(lease, WHO_HOOK, HOW_FAILED, 0);
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
		return;
	}
	lease->tries = cooldown_try(cooldown, lease->cooldown_ms);
	int r = lease_start_hook(lease, HOOK_ACQUIRE, &acquire_callbacks);
	if (r) {
		note_outcome(lease, true);
		LEASE_LOG(lease, LOG_ERR, "acquire hook could not be started: %s", strerror(-r));
		lease_go_without(lease, WHO_HOOK, HOW_FAILED, -r);
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
		return;
	}
	open_row(lease, LEASE_EVENT_ASKED, lease->acquire.timeout_ms);
}

void lease_wait(struct lease *lease, struct lease *predecessor)
{
	assert(!predecessor->successor);
	lease->predecessor = predecessor;
	predecessor->successor = lease;
	lease_set_phase(lease, PHASE_BEHIND);
}

void lease_begin(struct lease *lease)
{
	if (!lease->acquire.command) {
		open_row(lease, LEASE_EVENT_GRANTED, lease->record.release.timeout_ms);
		return;
	}
	lease_set_phase(lease, PHASE_QUEUED);
	struct hook_line *line = lease_must(leases_line(lease->leases, lease->record.session.service, HOOK_ACQUIRE));
	int r = hook_line_join(line, &lease->turn, lease->acquire_queue);
	if (r > 0) {
		lease_acquire_turn(lease);
	} else if (r < 0) {
		LEASE_LOG(lease, LOG_WARNING,
			"refused: %" PRIu32 " acquire hooks run and %" PRIu32 " wait already (see concurrency and queue)",
			line->running, line->waiting);
		lease_refuse(lease, WHO_HOOK, HOW_LIMIT, 0);
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
	}
}
