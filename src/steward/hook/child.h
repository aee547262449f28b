/* The child's half of a hook: a process that is made, prepared, and waits at its gate for one byte before it becomes the program.
 * The descriptors belong to the caller (hook.c). */
#ifndef STEWARD_HOOK_CHILD_H
#define STEWARD_HOOK_CHILD_H
#include "steward/hook/hook.h"

struct hook_child {
	struct process_group group;
	int pidfd;
	int in;       /* its stdin, if it talks, else -1; non-blocking */
	int gate;     /* one byte lets it run, closing it ends it */
	int report;   /* an errno (int), if the program could not be run; non-blocking */
	int out, err; /* its stdout and stderr; non-blocking */
};

/* 0 or -errno. */
int hook_child_start(struct hook_child *ret, const struct hook_program *program);

#endif
