/* One event that a helper is told of, and its answer.
 *
 *   helper_call_start ─► GATED ─ helper_call_open ─► WAITING ─ told ─► SENT ─ answer ─► on_end ─► helper_call_close
 *                                                       └ timeout: not run  ├ helper ends: lost ┘▲
 *                                                                           └ timeout ─► LATE ───┘
 *
 * It is to its asker what a hook in exec mode is (hook/hook.h), and has the same callbacks. One that timed out is LATE until the
 * helper answers it after all, which is ignored, or ends: no release of the same lease begins before (lease/release.c), and a
 * helper that takes twice the timeout is replaced. So no acquire can finish after its release, as if its process had been killed.
 */
#ifndef STEWARD_HELPER_CALL_H
#define STEWARD_HELPER_CALL_H
#include "steward/hook/hook.h"

#include <sys/queue.h>

struct helper;

enum call_state { CALL_GATED, CALL_WAITING, CALL_SENT, CALL_LATE, CALL_ENDED };

struct helper_call {
	struct helper *helper; /* NULL: ended, or gone with it */
	enum call_state state;
	bool owned; /* not closed by its asker */
	uint64_t id, fence;
	char *line;
	size_t length;
	uint32_t timeout_ms;
	const struct hook_callbacks *callbacks;
	void *context;
	uv_timer_t timer;
	struct call_list *list; /* the one that it is on, or NULL */
	TAILQ_ENTRY(helper_call) entry;
};

TAILQ_HEAD(call_list, helper_call);

struct helper_answer;

/* As hook_open, hook_close. */
void helper_call_open(struct helper_call *call);
void helper_call_close(struct helper_call *call);

/* For helper.c. */
int call_new(struct helper_call **ret, struct helper *helper, char *const *environment, uint64_t fence, uint32_t timeout_ms,
	const struct hook_callbacks *callbacks, void *context); /* 0 or -ENOMEM */
void call_move(struct helper_call *call, enum call_state state, struct call_list *to);
void call_end(struct helper_call *call, enum hook_outcome outcome, int value); /* told to its asker, if it has one */
void call_answer(struct helper_call *call, const struct helper_answer *answer);

#endif
