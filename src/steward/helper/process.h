/* One run of a helper's program: lines in, lines out, until it ends.
 *
 *   helper_process_start ─► at the gate ─ helper_process_open ─► running ─ ends, or is ended ─► on_end ─► helper_process_close
 *
 * Nothing here waits for it: what it does not read stays here, at most one piece of HELPER_PIECE_MAX bytes, and on_room says when
 * there is room for the next. Its owner closes it, in on_end or after. */
#ifndef STEWARD_HELPER_PROCESS_H
#define STEWARD_HELPER_PROCESS_H
#include "steward/hook/hook.h"

enum {
	HELPER_PIECE_MAX = 64 * 1024,
	HELPER_EOF_GRACE_MS = 2000, /* from the end of its input to SIGTERM */
};

struct helper_process_callbacks {
	void (*on_answer)(void *context, const char *line, size_t length); /* without its newline */
	/* It is no use any more: a line too long, its output or its input closed. beginning: of what it said, or "". */
	void (*on_fault)(void *context, const char *why, const char *beginning);
	void (*on_complaint)(void *context, const char *line); /* of its stderr */
	void (*on_room)(void *context);
	void (*on_end)(void *context, const struct hook_result *result); /* once; its whole group is gone */
};

struct helper_process;

/* 0 or -errno. program->talks. */
int helper_process_start(struct helper_process **ret, uv_loop_t *loop, const struct hook_program *program,
	const struct helper_process_callbacks *callbacks, void *context);
const struct process_group *helper_process_group(const struct helper_process *process);

void helper_process_open(struct helper_process *process);

/* Whether the line was taken; one that is longer than a piece is taken when there is nothing else. Not: on_room comes. */
bool helper_process_say(struct helper_process *process, const char *line, size_t length);

/* The end of its input, then SIGTERM, then SIGKILL. on_end comes. */
void helper_process_finish(struct helper_process *process);

/* The same without the first; nothing that it still says is told. */
void helper_process_stop(struct helper_process *process);

/* If it runs still, it goes on without its input. */
void helper_process_close(struct helper_process *process);

#endif
