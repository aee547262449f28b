#include "steward/hook/leftover_groups.h"

#include "steward/hook/hook.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

void leftover_groups_init(struct leftover_groups *leftover, uv_loop_t *loop)
{
	*leftover = (struct leftover_groups){0};
	uv_timer_init(loop, &leftover->timer);
}

int leftover_groups_add(struct leftover_groups *leftover, const struct process_group *group)
{
	struct process_group *groups = reallocarray(leftover->groups, leftover->count + 1, sizeof *groups);
	if (!groups)
		return -ENOMEM;
	leftover->groups = groups;
	groups[leftover->count++] = *group;
	return 0;
}

static void on_poll(uv_timer_t *timer)
{
	struct leftover_groups *leftover = (struct leftover_groups *)((char *)timer - offsetof(struct leftover_groups, timer));
	bool kill = uv_now(timer->loop) >= leftover->kill_at_ms;
	size_t living = 0;
	for (size_t i = 0; i < leftover->count; i++) {
		if (!process_group_lives(&leftover->groups[i]))
			continue;
		if (kill)
			process_group_signal(&leftover->groups[i], SIGKILL);
		leftover->groups[living++] = leftover->groups[i];
	}
	leftover->count = living;
	if (living)
		return;
	uv_timer_stop(timer);
	leftover->on_gone(leftover);
}

void leftover_groups_start(struct leftover_groups *leftover, void (*on_gone)(struct leftover_groups *leftover))
{
	leftover->on_gone = on_gone;
	leftover->kill_at_ms = uv_now(leftover->timer.loop) + HOOK_TERM_GRACE_MS;
	for (size_t i = 0; i < leftover->count; i++)
		process_group_signal(&leftover->groups[i], SIGTERM);
	uv_timer_start(&leftover->timer, on_poll, 0, HOOK_GROUP_POLL_MS);
}

void leftover_groups_close(struct leftover_groups *leftover, uv_close_cb on_closed)
{
	free(leftover->groups);
	leftover->groups = NULL;
	leftover->count = 0;
	uv_close((uv_handle_t *)&leftover->timer, on_closed);
}
