#include "steward/helper/helper.h"

#include "steward/helper/protocol.h"
#include "steward/hook/environment.h"
#include "steward/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define HELPER_LOG(helper, priority, format, ...) log_line(priority, "service %s: helper " format, (helper)->service, __VA_ARGS__)

static void start(struct helper *helper);
static void rest(struct helper *helper);

int helper_new(struct helper **ret, struct helpers *set, const struct hook_order *order, const char *service)
{
	struct helper *helper = calloc(1, sizeof *helper);
	if (!helper || hook_order_again(&helper->order, order)) {
		free(helper);
		return -ENOMEM;
	}
	helper->set = set;
	snprintf(helper->service, sizeof helper->service, "%s", service);
	TAILQ_INIT(&helper->waiting);
	TAILQ_INIT(&helper->late);
	for (size_t i = 0; i < HELPER_BUCKETS; i++)
		TAILQ_INIT(&helper->sent[i]);
	uv_timer_init(set->loop, &helper->timer);
	helper->timer.data = helper;
	*ret = helper;
	return 0;
}

/* ---- what it is told ---- */

bool helper_is_late(const struct helper *helper, uint64_t fence)
{
	struct helper_call *call;
	TAILQ_FOREACH(call, &helper->late, entry)
	if (call->fence == fence)
		return true;
	return false;
}

static void say(struct helper *helper)
{
	struct helper_call *call;
	while ((call = TAILQ_FIRST(&helper->waiting))) {
		if (!helper_process_say(helper->process, call->line, call->length))
			return;
		call_move(call, CALL_SENT, &helper->sent[call->id % HELPER_BUCKETS]);
	}
}

void helper_tell(struct helper *helper)
{
	if (helper->state == HELPER_RUNNING)
		say(helper);
	else if (helper->state == HELPER_DOWN)
		start(helper);
}

void helper_replace(struct helper *helper, const char *why, const char *beginning)
{
	if (helper->state != HELPER_RUNNING)
		return;
	HELPER_LOG(helper, LOG_ERR, "%s: %s%s%s%s; it is replaced", helper->order.command[0], why, *beginning ? ": \"" : "",
		beginning, *beginning ? "\"" : "");
	helper->state = HELPER_ENDING;
	uv_timer_stop(&helper->timer);
	helper_process_stop(helper->process);
}

static void on_room(void *context)
{
	struct helper *helper = context;
	if (helper->state == HELPER_RUNNING)
		say(helper);
}

/* ---- what it says ---- */

static struct helper_call *find(struct helper *helper, uint64_t id)
{
	struct helper_call *call;
	TAILQ_FOREACH(call, &helper->sent[id % HELPER_BUCKETS], entry)
	if (call->id == id)
		return call;
	TAILQ_FOREACH(call, &helper->late, entry)
	if (call->id == id)
		return call;
	return NULL;
}

static void on_answer(void *context, const char *line, size_t length)
{
	struct helper *helper = context;
	struct helper_answer answer;
	char why[HELPER_WHY], fault[HELPER_WHY + 32], beginning[65];
	int r = helper_answer_parse(&answer, line, length, why);
	struct helper_call *call = r ? NULL : find(helper, answer.id);
	if (r == -ENOMEM) {
		log_line(LOG_CRIT, "out of memory");
		abort(); /* what is half done is found in the store at the next start */
	}
	if (!call) {
		size_t n = 0;
		for (; n < length && n + 1 < sizeof beginning; n++)
			beginning[n] = (unsigned char)line[n] < ' ' || line[n] == 127 ? ' ' : line[n];
		beginning[n] = '\0';
		snprintf(fault, sizeof fault, "a line that is no answer (%s)", r ? why : "nothing with that id was asked");
		helper_replace(helper, fault, beginning);
	} else {
		helper->answered = true;
		call_answer(call, &answer);
	}
	helper_answer_fini(&answer);
}

static void on_fault(void *context, const char *why, const char *beginning)
{
	helper_replace(context, why, beginning);
}

static void on_complaint(void *context, const char *line)
{
	struct helper *helper = context;
	HELPER_LOG(helper, LOG_INFO, "says: %s", line);
}

/* ---- its life ---- */

static void end_list(struct call_list *list, enum hook_outcome outcome, int value)
{
	struct call_list ended = TAILQ_HEAD_INITIALIZER(ended);
	struct helper_call *call;
	/* First all out of reach, since those who are told may ask for more. */
	while ((call = TAILQ_FIRST(list)))
		call_move(call, call->state, &ended);
	while ((call = TAILQ_FIRST(&ended)))
		call_end(call, outcome, value);
}

static void tell_end(const struct helper *helper, const struct hook_result *result)
{
	const char *command = helper->order.command[0];
	if (result->outcome == HOOK_NOT_RUN)
		HELPER_LOG(helper, LOG_ERR, "%s could not be run: %s (in directory %s)", command, strerror(result->value),
			helper->order.directory);
	else if (helper->state == HELPER_RUNNING)
		HELPER_LOG(helper, LOG_ERR, "%s ended by itself (%s %d)", command,
			result->outcome == HOOK_EXITED ? "exit status" : "signal", result->value);
}

static void on_end(void *context, const struct hook_result *result)
{
	struct helper *helper = context;
	bool ran = result->outcome != HOOK_NOT_RUN;
	enum hook_outcome outcome = ran ? HOOK_LOST : HOOK_NOT_RUN;
	uint64_t now_ms = uv_now(helper->timer.loop);

	tell_end(helper, result);
	book_remove(&helper->set->book, helper_process_group(helper->process));
	helper_process_close(helper->process);
	helper->process = NULL;
	helper->state = HELPER_DOWN;
	if (ran && now_ms - helper->started_ms >= HELPER_STEADY_MS)
		helper->deaths = 0;
	else if (helper->answered && helper->deaths > HELPER_USEFUL_DEATHS)
		helper->deaths = HELPER_USEFUL_DEATHS;
	helper->answered = false;
	uint64_t delay_ms = HELPER_RESTART_MAX_MS;
	if (helper->deaths < 10)
		delay_ms = helper->deaths ? (uint64_t)HELPER_RESTART_FIRST_MS << (helper->deaths - 1) : 0;
	helper->not_before_ms = now_ms + (delay_ms < HELPER_RESTART_MAX_MS ? delay_ms : HELPER_RESTART_MAX_MS);
	helper->deaths++;

	helper->calls++; /* it is not to be forgotten meanwhile */
	end_list(&helper->late, outcome, result->value);
	for (size_t i = 0; i < HELPER_BUCKETS; i++)
		end_list(&helper->sent[i], outcome, result->value);
	if (!ran)
		end_list(&helper->waiting, outcome, result->value);
	helper->calls--;

	struct helpers *set = helper->set;
	if (!TAILQ_EMPTY(&helper->waiting))
		start(helper);
	else
		rest(helper);
	helpers_down(set);
}

static const struct helper_process_callbacks callbacks = {on_answer, on_fault, on_complaint, on_room, on_end};

static int start_process(struct helper *helper)
{
	struct hook_environment environment;
	hook_environment_init(&environment);
	hook_environment_begin(&environment, helper->order.environment);
	hook_environment_set(&environment, HOOK_ENVIRONMENT_OURS "SERVICE", "%s", helper->service);
	struct hook_program program = hook_order_program(&helper->order, environment.list);
	program.talks = true;
	int r = environment.failed ? -ENOMEM
				   : helper_process_start(&helper->process, helper->set->loop, &program, &callbacks, helper);
	hook_environment_fini(&environment);
	return r;
}

static void on_start_due(uv_timer_t *timer)
{
	struct helper *helper = timer->data;
	if (TAILQ_EMPTY(&helper->waiting))
		rest(helper); /* who waited has gone */
	else
		start(helper);
}

static void start(struct helper *helper)
{
	uint64_t now_ms = uv_now(helper->timer.loop);
	if (helper->set->stopping)
		return;
	if (now_ms < helper->not_before_ms) {
		uv_timer_start(&helper->timer, on_start_due, helper->not_before_ms - now_ms, 0);
		return;
	}
	uv_timer_stop(&helper->timer);
	int r = start_process(helper);
	if (r) {
		HELPER_LOG(helper, LOG_ERR, "%s could not be started: %s", helper->order.command[0], strerror(-r));
		helper->not_before_ms = now_ms + HELPER_RESTART_MAX_MS / 30;
		uv_timer_start(&helper->timer, on_start_due, helper->not_before_ms - now_ms, 0);
		return;
	}
	helper->state = HELPER_RECORDING;
	if (book_add(&helper->set->book, helper_process_group(helper->process), &helper->recorded)) {
		helper->state = HELPER_ENDING; /* at its gate it does nothing; out of memory it is tried again */
		helper_process_stop(helper->process);
	}
}

void helper_on_book(struct helper *helper)
{
	if (helper->state != HELPER_RECORDING || helper->set->book.written < helper->recorded)
		return;
	HELPER_LOG(helper, LOG_INFO, "%s is started", helper->order.command[0]);
	helper->state = HELPER_RUNNING;
	helper->started_ms = uv_now(helper->timer.loop);
	helper_process_open(helper->process);
	say(helper);
	rest(helper);
}

/* ---- its end ---- */

void helper_finish(struct helper *helper)
{
	if (helper->state == HELPER_DOWN || helper->state == HELPER_ENDING)
		return;
	helper->state = HELPER_ENDING;
	uv_timer_stop(&helper->timer);
	helper_process_finish(helper->process);
}

static void on_idle(uv_timer_t *timer)
{
	struct helper *helper = timer->data;
	if (!helper->calls)
		helper_finish(helper);
}

/* Nothing waits for it: if it is not wanted either, it goes. */
static void rest(struct helper *helper)
{
	if (helper->wanted || helper->calls)
		return;
	if (helper->state == HELPER_RUNNING)
		uv_timer_start(&helper->timer, on_idle, HELPER_IDLE_MS, 0);
	else if (helper->state == HELPER_DOWN)
		helpers_forget(helper);
}

void helper_want(struct helper *helper, bool wanted)
{
	helper->wanted = wanted;
	if (wanted && helper->state == HELPER_RUNNING)
		uv_timer_stop(&helper->timer);
	rest(helper);
}

void helper_dropped(struct helper *helper)
{
	helper->calls--;
	if (helper->state == HELPER_RUNNING)
		rest(helper);
}

static void on_closed(uv_handle_t *handle)
{
	struct helper *helper = handle->data;
	struct helpers *set = helper->set;
	hook_order_fini(&helper->order);
	free(helper);
	helpers_freed(set);
}

void helper_close(struct helper *helper)
{
	if (helper->process)
		helper_process_close(helper->process);
	helper->process = NULL;
	helper->state = HELPER_DOWN;
	helper->calls++;
	end_list(&helper->waiting, HOOK_LOST, 0);
	end_list(&helper->late, HOOK_LOST, 0);
	for (size_t i = 0; i < HELPER_BUCKETS; i++)
		end_list(&helper->sent[i], HOOK_LOST, 0);
	uv_close((uv_handle_t *)&helper->timer, on_closed);
}
