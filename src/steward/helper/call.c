#include "steward/helper/call.h"

#include "steward/helper/helper.h"
#include "steward/helper/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { COMPLAINT = 1024, STATUS_REFUSED = 1 };

static void on_closed(uv_handle_t *handle)
{
	struct helper_call *call = handle->data;
	free(call->line);
	free(call);
}

int call_new(struct helper_call **ret, struct helper *helper, char *const *environment, uint64_t fence, uint32_t timeout_ms,
	const struct hook_callbacks *callbacks, void *context)
{
	struct helper_call *call = calloc(1, sizeof *call);
	if (!call || !(call->line = helper_request_format(helper->last_id + 1, environment))) {
		free(call);
		return -ENOMEM;
	}
	call->helper = helper;
	call->owned = true;
	call->id = ++helper->last_id;
	call->fence = fence;
	call->length = strlen(call->line);
	call->timeout_ms = timeout_ms;
	call->callbacks = callbacks;
	call->context = context;
	call->timer.data = call;
	uv_timer_init(helper->timer.loop, &call->timer);
	helper->calls++;
	*ret = call;
	return 0;
}

void call_move(struct helper_call *call, enum call_state state, struct call_list *to)
{
	if (call->list)
		TAILQ_REMOVE(call->list, call, entry);
	call->helper->late_count += state == CALL_LATE;
	call->helper->late_count -= call->state == CALL_LATE;
	call->state = state;
	if ((call->list = to))
		TAILQ_INSERT_TAIL(to, call, entry);
}

/* The helper has nothing to do with it any more; freed once its asker has not either. */
static void leave(struct helper_call *call)
{
	struct helper *helper = call->helper;
	uv_timer_stop(&call->timer);
	call_move(call, CALL_ENDED, NULL);
	call->helper = NULL;
	if (!call->owned)
		uv_close((uv_handle_t *)&call->timer, on_closed);
	helper_dropped(helper);
}

static void tell(struct helper_call *call, const struct hook_result *result)
{
	if (call->owned)
		call->callbacks->on_end(call->context, result);
}

void call_end(struct helper_call *call, enum hook_outcome outcome, int value)
{
	bool owed = call->owned && call->state != CALL_LATE;
	leave(call);
	if (owed)
		tell(call, &(struct hook_result){.outcome = outcome, .value = value, .output = ""});
}

static void complain(struct helper_call *call, const char *error)
{
	char line[COMPLAINT + 1];
	snprintf(line, sizeof line, "%s", error);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = ' ';
	call->callbacks->on_line(call->context, line);
}

void call_answer(struct helper_call *call, const struct helper_answer *answer)
{
	struct hook_result result = {
		.outcome = HOOK_EXITED,
		.value = answer->ok            ? 0
			 : answer->busy        ? EX_TEMPFAIL
			 : answer->unavailable ? EX_UNAVAILABLE
					       : STATUS_REFUSED,
		.output = answer->output,
		.output_length = strlen(answer->output),
	};
	bool late = call->state == CALL_LATE;
	leave(call);
	if (late || !call->owned)
		return;
	if (answer->error && *answer->error)
		complain(call, answer->error);
	tell(call, &result);
}

static void on_timeout(uv_timer_t *timer)
{
	struct helper_call *call = timer->data;
	struct helper *helper = call->helper;
	switch (call->state) {
	case CALL_WAITING:
		call_end(call, HOOK_NOT_RUN, ETIMEDOUT);
		break;
	case CALL_SENT:
		call_move(call, CALL_LATE, &helper->late);
		uv_timer_start(timer, on_timeout, call->timeout_ms, 0);
		tell(call, &(struct hook_result){.outcome = HOOK_TIMED_OUT, .output = ""});
		if (helper->late_count > HELPER_LATE_MAX)
			helper_replace(helper, "too many of its answers are overdue", "");
		break;
	case CALL_LATE:
		helper_replace(helper, "an answer has not come in twice its timeout", "");
		break;
	case CALL_GATED:
	case CALL_ENDED:
		break;
	}
}

void helper_call_open(struct helper_call *call)
{
	if (call->state != CALL_GATED)
		return;
	call_move(call, CALL_WAITING, &call->helper->waiting);
	uv_timer_start(&call->timer, on_timeout, call->timeout_ms, 0);
	helper_tell(call->helper);
}

void helper_call_close(struct helper_call *call)
{
	call->owned = false;
	switch (call->state) {
	case CALL_GATED:
	case CALL_WAITING:
		leave(call);
		break;
	case CALL_SENT: /* its answer may still come */
		call_move(call, CALL_LATE, &call->helper->late);
		break;
	case CALL_LATE:
		break;
	case CALL_ENDED:
		uv_close((uv_handle_t *)&call->timer, on_closed);
		break;
	}
}
