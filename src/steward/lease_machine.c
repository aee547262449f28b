#include "steward/lease_machine.h"

#include "steward/hook_answer.h"
#include "steward/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MAX_MS = 5 * 60 * 1000,
	EXIT_BUSY = 75, /* EX_TEMPFAIL of sysexits(3) */
};

static void release_turn(struct lease *lease);
static void acquire_turn(struct lease *lease);

#define LEASE_LOG(lease, priority, ...)                                                                                          \
	log_session_line(priority, (lease)->record.session.service, (lease)->record.key.id, __VA_ARGS__)

static void set_phase(struct lease *lease, enum lease_phase phase)
{
	enum lease_phase from = lease->phase;
	lease->phase = phase;
	leases_phase_changed(lease->leases, from, phase);
}

/* Out of memory a steward ends at once: all that matters is in the store, and its successor finds it there. */
static void *must(void *memory)
{
	if (!memory) {
		log_line(LOG_CRIT, "out of memory");
		abort();
	}
	return memory;
}

void lease_save(struct lease *lease)
{
	lease->record.fence = lease->item.fence;
	store_write(leases_store(lease->leases), &lease->item, must(lease_record_encode(&lease->record)));
}

static void on_turn(struct hook_turn *turn)
{
	struct lease *lease = (struct lease *)((char *)turn - offsetof(struct lease, turn));
	if (lease->phase == PHASE_QUEUED)
		acquire_turn(lease);
	else
		release_turn(lease);
}

void lease_init(struct lease *lease, struct leases *leases)
{
	lease->leases = leases;
	lease->phase = PHASE_LOADED;
	lease->turn.on_turn = on_turn;
	uv_timer_init(leases_loop(leases), &lease->timer);
	lease->timer.data = lease;
}

static void on_closed(uv_handle_t *handle)
{
	struct lease *lease = handle->data;
	lease_record_fini(&lease->record);
	hook_order_fini(&lease->acquire);
	free(lease);
}

static void drop_hook(struct lease *lease)
{
	if (lease->hook)
		hook_close(lease->hook);
	lease->hook = NULL;
	hook_line_leave(&lease->turn);
}

void lease_close(struct lease *lease)
{
	if (lease->hook)
		hook_close(lease->hook);
	uv_close((uv_handle_t *)&lease->timer, on_closed);
}

static void give(struct lease *lease, const struct message_verdict *verdict)
{
	if (lease->wanted)
		leases_owe_verdict(lease->leases, &lease->record.key, verdict);
	lease->wanted = false;
}

static void refuse(struct lease *lease, enum who who, enum how how, int error)
{
	struct message_verdict verdict = {
		.id = lease->record.key.id,
		.slot = lease->record.key.slot,
		.verdict = VERDICT_REFUSE,
		.reason = {.who = (uint8_t)who, .how = (uint8_t)how, .state = SLOT_ACQUIRING, .error = error},
	};
	/* Until the session's own end is told, this is why. */
	if (!lease->record.ended)
		lease->record.session.reason = verdict.reason;
	lease->over = true;
	give(lease, &verdict);
}

static void go(struct lease *lease, uint64_t fence)
{
	struct message_verdict verdict = {
		.id = lease->record.key.id,
		.slot = lease->record.key.slot,
		.verdict = VERDICT_GO,
		.fence = fence,
		.route = lease->record.route,
	};
	give(lease, &verdict);
}

/* Nothing ran, or it said that it took nothing. */
static void go_without(struct lease *lease, enum who who, enum how how, int error)
{
	if (!lease->allow_on_error || lease->over) {
		refuse(lease, who, how, error);
		return;
	}
	LEASE_LOG(lease, LOG_WARNING, "goes on without a lease (on_error = \"allow\")");
	go(lease, 0);
	lease->over = true;
}

static void pay_end(struct lease *lease)
{
	if (lease->end_owed)
		leases_owe_durable(lease->leases, &lease->record.key);
	lease->end_owed = false;
}

static void unlink_predecessor(struct lease *lease)
{
	if (lease->predecessor)
		lease->predecessor->successor = NULL;
	lease->predecessor = NULL;
}

static void lease_gone(struct lease *lease)
{
	assert(store_idle(&lease->item) && !lease->hook);
	pay_end(lease);
	unlink_predecessor(lease);
	struct lease *successor = lease->successor;
	set_phase(lease, PHASE_GONE);
	leases_forget(lease->leases, lease);
	uv_timer_stop(&lease->timer);
	uv_close((uv_handle_t *)&lease->timer, on_closed);
	if (successor) {
		successor->predecessor = NULL;
		lease_begin(successor);
	}
}

/* There is nothing to give back: its row goes, if it has one. */
static void lease_leave(struct lease *lease)
{
	uv_timer_stop(&lease->timer);
	drop_hook(lease);
	if (!lease->item.asked || store_withdraw(leases_store(lease->leases), &lease->item)) {
		lease_gone(lease);
		return;
	}
	set_phase(lease, PHASE_LEAVING);
	store_write(leases_store(lease->leases), &lease->item, NULL);
}

static void on_hook_line(void *context, const char *line)
{
	struct lease *lease = context;
	LEASE_LOG(lease, LOG_INFO, "%s hook: %s", lease->phase == PHASE_ACQUIRING ? "acquire" : "release", line);
}

static int start_hook(struct lease *lease, enum hook_event event, const struct hook_callbacks *callbacks)
{
	const struct hook_order *order = event == HOOK_ACQUIRE ? &lease->acquire : &lease->record.release;
	struct hook_facts facts = {
		.event = event,
		.fence = lease->item.fence,
		.session = &lease->record.session,
		.environment = order->environment,
		.variables = lease->record.variables,
		.attempt = event == HOOK_ACQUIRE ? 1 : lease->record.attempts,
		.recovered = lease->record.recovered,
		.unknown = lease->record.unknown,
	};
	struct hook_environment environment;
	hook_environment_init(&environment);
	hook_environment_fill(&environment, &facts);
	int r = -ENOMEM;
	if (!environment.failed) {
		struct hook_program program = {
			.command = order->command,
			.environment = environment.list,
			.directory = order->directory,
			.umask = order->umask,
			.timeout_ms = order->timeout_ms,
		};
		r = hook_start(&lease->hook, leases_loop(lease->leases), &program, event == HOOK_ACQUIRE, callbacks, lease);
	}
	hook_environment_fini(&environment);
	if (!r)
		lease->record.hook = *hook_group(lease->hook);
	return r;
}

/* What is to be told of how a hook ended, otherwise than well. */
static void describe(char *text, size_t size, const struct lease *lease, enum hook_event event, const struct hook_result *result)
{
	const struct hook_order *order = event == HOOK_ACQUIRE ? &lease->acquire : &lease->record.release;
	switch (result->outcome) {
	case HOOK_EXITED:
		snprintf(text, size, "exited with %d%s", result->value, result->value == EXIT_BUSY ? " (busy)" : "");
		break;
	case HOOK_SIGNALED:
		snprintf(text, size, "was killed by signal %d", result->value);
		break;
	case HOOK_TIMED_OUT:
		snprintf(text, size, "took longer than its timeout of %" PRIu32 " ms", order->timeout_ms);
		break;
	case HOOK_NOT_RUN:
		snprintf(text, size, "could not be run: %s: %s (in directory %s)", order->command[0], strerror(result->value),
			order->directory);
		break;
	}
}

/* ---- acquire ---- */

static void on_write_late(uv_timer_t *timer)
{
	struct lease *lease = timer->data;
	int error = store_error(leases_store(lease->leases));
	LEASE_LOG(lease, LOG_ERR, "its lease could not be written within the hook's timeout: %s",
		error ? strerror(-error) : "the disk is slow");
	if (lease->phase == PHASE_OPENING) {
		go_without(lease, WHO_SYSTEM, HOW_FAILED, error ? -error : ETIMEDOUT);
		lease_leave(lease);
	} else if (lease->phase == PHASE_CONFIRMING) {
		refuse(lease, WHO_SYSTEM, HOW_FAILED, error ? -error : ETIMEDOUT);
		lease_release(lease);
	}
}

static void confirm(struct lease *lease)
{
	lease->record.state = LEASE_HELD;
	set_phase(lease, PHASE_CONFIRMING);
	lease_save(lease);
	uv_timer_start(&lease->timer, on_write_late, lease->acquire.timeout_ms, 0);
}

static void acquired(struct lease *lease, const struct hook_result *result)
{
	struct hook_answer answer;
	char *bad;
	int r = hook_answer_parse(&answer, result->output, &bad);
	if (r == -ENOMEM)
		must(NULL);
	string_list_free(lease->record.variables);
	lease->record.variables = NULL;
	if (string_list_copy(&lease->record.variables, answer.count ? answer.variables : NULL))
		must(NULL);
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
		refuse(lease, WHO_HOOK, HOW_FAILED, 0);
	}
	free(bad);
	hook_answer_fini(&answer);

	if (lease->over)
		lease_release(lease);
	else
		confirm(lease);
}

static void on_acquire_end(void *context, const struct hook_result *result)
{
	struct lease *lease = context;
	lease->record.hook = (struct process_group){0};
	drop_hook(lease);
	if (lease->phase == PHASE_OPENING) {
		/* Killed at the gate by someone else: nothing ran. */
		LEASE_LOG(lease, LOG_ERR, "acquire hook ended before it ran");
		go_without(lease, WHO_HOOK, HOW_FAILED, 0);
		lease_leave(lease);
		return;
	}
	if (result->outcome == HOOK_EXITED && !result->value) {
		acquired(lease, result);
		return;
	}

	char text[512];
	describe(text, sizeof text, lease, HOOK_ACQUIRE, result);
	if (result->outcome == HOOK_EXITED || result->outcome == HOOK_NOT_RUN) {
		bool ran = result->outcome == HOOK_EXITED;
		LEASE_LOG(lease, ran && result->value == EXIT_BUSY ? LOG_NOTICE : LOG_WARNING, "acquire hook %s: not held", text);
		go_without(lease, WHO_HOOK, ran ? HOW_REFUSED : HOW_FAILED, ran ? 0 : result->value);
		lease_leave(lease);
		return;
	}
	LEASE_LOG(lease, LOG_ERR, "acquire hook %s: unknown whether it took anything; release runs to make sure", text);
	lease->record.unknown = true;
	if (lease->allow_on_error && !lease->over) {
		confirm(lease);
		return;
	}
	refuse(lease, WHO_HOOK, result->outcome == HOOK_TIMED_OUT ? HOW_TIMEOUT : HOW_FAILED, 0);
	lease_release(lease);
}

static const struct hook_callbacks acquire_callbacks = {on_hook_line, on_acquire_end};

static void open_row(struct lease *lease, enum lease_state state, uint32_t patience_ms)
{
	lease->record.state = state;
	set_phase(lease, PHASE_OPENING);
	lease_save(lease);
	uv_timer_start(&lease->timer, on_write_late, patience_ms, 0);
}

static void acquire_turn(struct lease *lease)
{
	if (leases_stopping(lease->leases)) {
		lease_refuse_shutdown(lease);
		return;
	}
	int r = start_hook(lease, HOOK_ACQUIRE, &acquire_callbacks);
	if (r) {
		LEASE_LOG(lease, LOG_ERR, "acquire hook could not be started: %s", strerror(-r));
		go_without(lease, WHO_HOOK, HOW_FAILED, -r);
		lease_leave(lease);
		return;
	}
	open_row(lease, LEASE_ACQUIRING, lease->acquire.timeout_ms);
}

void lease_wait(struct lease *lease, struct lease *predecessor)
{
	assert(!predecessor->successor);
	lease->predecessor = predecessor;
	predecessor->successor = lease;
	set_phase(lease, PHASE_BEHIND);
}

void lease_begin(struct lease *lease)
{
	if (!lease->acquire.command) {
		open_row(lease, LEASE_HELD, lease->record.release.timeout_ms);
		return;
	}
	set_phase(lease, PHASE_QUEUED);
	struct hook_line *line = must(leases_line(lease->leases, lease->record.session.service, HOOK_ACQUIRE));
	int r = hook_line_join(line, &lease->turn, lease->acquire_queue);
	if (r > 0) {
		acquire_turn(lease);
	} else if (r < 0) {
		LEASE_LOG(lease, LOG_WARNING,
			"refused: %" PRIu32 " acquire hooks run and %" PRIu32 " wait already (see concurrency and queue)",
			line->running, line->waiting);
		refuse(lease, WHO_HOOK, HOW_LIMIT, 0);
		lease_leave(lease);
	}
}

/* ---- held ---- */

static void become_held(struct lease *lease)
{
	uv_timer_stop(&lease->timer);
	if (lease->over) {
		lease_release(lease);
		return;
	}
	set_phase(lease, PHASE_HELD);
	go(lease, lease->item.fence);
}

void lease_answer_held(struct lease *lease)
{
	lease->wanted = true;
	go(lease, lease->item.fence);
}

void lease_hold(struct lease *lease)
{
	set_phase(lease, PHASE_HELD);
	if (lease->record.state == LEASE_HELD && !lease->record.hook.pid)
		return;
	lease->record.state = LEASE_HELD;
	lease->record.hook = (struct process_group){0};
	lease_save(lease);
}

void lease_cancel(struct lease *lease)
{
	lease->wanted = false;
	switch (lease->phase) {
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
		lease->over = true;
		lease_leave(lease);
		break;
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
		lease->over = true;
		break;
	case PHASE_HELD: /* a verdict may be on its way: the session's end will tell */
	case PHASE_LOADED:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_BACKOFF:
	case PHASE_LEAVING:
	case PHASE_GONE:
		break;
	}
}

/* The addresses came from the socket when it was accepted; what a ledger says of them is but a claim. */
static void note_end(struct lease *lease, const struct session_record *record, bool recovered)
{
	struct session_record ended = *record;
	ended.client = lease->record.session.client;
	ended.local = lease->record.session.local;
	memcpy(ended.service, lease->record.session.service, sizeof ended.service);
	lease->record.session = ended;
	lease->record.ended = true;
	lease->record.recovered = recovered;
}

void lease_end(struct lease *lease, const struct session_record *record, bool recovered)
{
	lease->wanted = false;
	lease->end_owed = true;
	bool first = !lease->record.ended;
	switch (lease->phase) {
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
		lease->over = true;
		pay_end(lease); /* nothing ran */
		lease_leave(lease);
		return;
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
	case PHASE_HELD:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_BACKOFF:
		break;
	case PHASE_LOADED:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
	case PHASE_GONE:
		pay_end(lease); /* its release is under way, and its row says so */
		return;
	}
	lease->over = true;
	if (first) {
		note_end(lease, record, recovered);
		if (lease->phase == PHASE_HELD)
			set_phase(lease, PHASE_ENDING);
		lease_save(lease);
	} else if (store_idle(&lease->item)) {
		pay_end(lease);
	}
}

/* ---- release ---- */

static void on_backoff_over(uv_timer_t *timer)
{
	lease_release(timer->data);
}

/* Who waits behind a lease that cannot be released now is told so, instead of waiting for as long as that lasts. */
static void refuse_successor(struct lease *lease)
{
	struct lease *successor = lease->successor;
	if (!successor)
		return;
	unlink_predecessor(successor);
	LEASE_LOG(successor, LOG_WARNING, "refused: an earlier lease of this session could not be released");
	refuse(successor, WHO_HOOK, HOW_FAILED, 0);
	lease_leave(successor);
}

static void back_off(struct lease *lease)
{
	uint64_t delay_ms = RETRY_MAX_MS;
	if (lease->failures < 9)
		delay_ms = (uint64_t)RETRY_FIRST_MS << lease->failures;
	lease->failures++;
	set_phase(lease, PHASE_BACKOFF);
	refuse_successor(lease);
	if (leases_stopping(lease->leases)) {
		LEASE_LOG(lease, LOG_WARNING, "release is left to the next start");
		return;
	}
	if (lease->record.attempts == LEASE_FAILED_AFTER)
		LEASE_LOG(lease, LOG_ERR, "release has failed %d times and counts as failed; it is tried on every %d s",
			LEASE_FAILED_AFTER, RETRY_MAX_MS / 1000);
	uv_timer_start(&lease->timer, on_backoff_over, delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS, 0);
}

static void on_release_end(void *context, const struct hook_result *result)
{
	struct lease *lease = context;
	lease->record.hook = (struct process_group){0};
	drop_hook(lease);
	if (lease->phase == PHASE_RELEASING && result->outcome == HOOK_EXITED && !result->value) {
		lease_leave(lease);
		return;
	}
	char text[512];
	describe(text, sizeof text, lease, HOOK_RELEASE, result);
	LEASE_LOG(lease, LOG_ERR, "release hook %s (attempt %" PRIu32 "); it will be tried again", text, lease->record.attempts);
	lease_save(lease); /* its process group is forgotten before the number can be another's */
	back_off(lease);
}

static const struct hook_callbacks release_callbacks = {on_hook_line, on_release_end};

static void release_turn(struct lease *lease)
{
	lease->record.attempts++;
	int r = start_hook(lease, HOOK_RELEASE, &release_callbacks);
	if (r) {
		LEASE_LOG(lease, LOG_ERR, "release hook could not be started: %s (attempt %" PRIu32 ")", strerror(-r),
			lease->record.attempts);
		hook_line_leave(&lease->turn);
		lease_save(lease);
		back_off(lease);
		return;
	}
	set_phase(lease, PHASE_STARTING);
	lease_save(lease);
}

void lease_release(struct lease *lease)
{
	uv_timer_stop(&lease->timer);
	lease->over = true;
	lease->record.state = LEASE_RELEASING;
	lease->record.hook = (struct process_group){0};
	if (!lease->record.release.command) {
		lease_leave(lease);
		return;
	}
	set_phase(lease, PHASE_TURN);
	struct hook_line *line = must(leases_line(lease->leases, lease->record.session.service, HOOK_RELEASE));
	if (hook_line_join(line, &lease->turn, HOOK_LINE_UNBOUNDED) > 0)
		release_turn(lease);
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
	refuse(lease, WHO_SYSTEM, HOW_SHUTDOWN, 0);
	lease_leave(lease);
}

/* ---- the store has caught up ---- */

void lease_on_durable(struct lease *lease)
{
	if (!store_idle(&lease->item))
		return; /* something newer is on its way */
	pay_end(lease);
	switch (lease->phase) {
	case PHASE_OPENING:
		if (!lease->hook) {
			become_held(lease);
		} else {
			uv_timer_stop(&lease->timer);
			set_phase(lease, PHASE_ACQUIRING);
			hook_open(lease->hook);
		}
		break;
	case PHASE_CONFIRMING:
		become_held(lease);
		break;
	case PHASE_ENDING:
		lease_release(lease);
		break;
	case PHASE_STARTING:
		set_phase(lease, PHASE_RELEASING);
		hook_open(lease->hook);
		break;
	case PHASE_LEAVING:
		lease_gone(lease);
		break;
	case PHASE_LOADED:
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_ACQUIRING:
	case PHASE_HELD:
	case PHASE_TURN:
	case PHASE_RELEASING:
	case PHASE_BACKOFF:
	case PHASE_GONE:
		break;
	}
}
