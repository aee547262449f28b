/* A process that leads a group of its own, known again by whoever comes later: its number, the tick at which it began, and the
 * boot in which that was. Numbers are used again; the three together are not. A plain value: nothing to end. */
#ifndef STEWARD_HOOK_PROCESS_GROUP_H
#define STEWARD_HOOK_PROCESS_GROUP_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { BOOT_ID_SIZE = 40 };

struct process_group {
	int32_t pid;          /* of the leader, also the group's and its session's number; 0: none */
	uint64_t start_ticks; /* proc(5) stat, field 22 */
	char boot[BOOT_ID_SIZE];
};

/* Of a living process, or a child that was not waited for. 0 or -errno. */
int process_group_identify(struct process_group *ret, pid_t pid);

/* Whether anything of it is still there: the leader, or others of its group after it. What has ended and only waits for its
 * parent does not count. A leader that has not called setsid(2) yet counts. */
bool process_group_lives(const struct process_group *group);

/* To the whole group, if it lives. */
void process_group_signal(const struct process_group *group, int signal);

#endif
