/* Process groups that a predecessor's hooks left: asked to end (SIGTERM), then made to (SIGKILL), and waited for.
 * A member of its owner: start once; on_gone comes when none is left, and leftover_groups_close may be called at any time, once.
 */
#ifndef STEWARD_HOOK_LEFTOVER_GROUPS_H
#define STEWARD_HOOK_LEFTOVER_GROUPS_H
#include "steward/hook/process_group.h"

#include <stddef.h>
#include <uv.h>

struct leftover_groups {
	uv_timer_t timer;
	struct process_group *groups;
	size_t count;
	uint64_t kill_at_ms; /* uv_now */
	void (*on_gone)(struct leftover_groups *leftover);
};

void leftover_groups_init(struct leftover_groups *leftover, uv_loop_t *loop);
int leftover_groups_add(struct leftover_groups *leftover, const struct process_group *group); /* before start; 0 or -ENOMEM */
void leftover_groups_start(struct leftover_groups *leftover, void (*on_gone)(struct leftover_groups *leftover));
void leftover_groups_close(struct leftover_groups *leftover, uv_close_cb on_closed);

#endif
