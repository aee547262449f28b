/* A hook: one program that runs, from its start to the end of its process.
 *
 *   hook_start ─► at the gate ─ hook_open ─► running ─ exits ─────────────► on_end ─► hook_close
 *                                               └ too long: SIGTERM, SIGKILL, group gone ┘
 *
 * Its process waits at a gate (gate.c) before it runs anything, so that it can be recorded first; if we die before
 * that, the gate closes and the child ends. Its owner closes it: after on_end, or before (then nothing is told any more; a child
 * at the gate ends without having run, one that runs goes on alone). The end of a hook is the end of its process, whoever else
 * holds its pipes.
 *
 * A hook that talks is a helper (helper/process.h): its stdin is ours to write, its stdout is told as it comes, it runs until it
 * ends or hook_stop is called, and its end is told when its whole group is gone. */
#ifndef STEWARD_HOOK_HOOK_H
#define STEWARD_HOOK_HOOK_H
#include "steward/config/hook_user.h"
#include "steward/hook/process_group.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {
	HOOK_OUTPUT_MAX = 64 * 1024, /* of stdout that is kept, bytes */
	HOOK_LINES_MAX = 1000,       /* told of one run (of one that talks: a minute); a hook gone mad must not fill the log */
	HOOK_TERM_GRACE_MS = 5000,   /* from SIGTERM to SIGKILL */
	HOOK_STUCK_MS = 1000,        /* from SIGKILL to on_stuck */
	HOOK_GROUP_POLL_MS = 20,     /* how often a group that is being ended is looked at */
};

/* What is run. The lists are NULL-terminated; all is copied before hook_start returns. */
struct hook_program {
	char *const *command;     /* without a slash in its first word that is sought in PATH */
	char *const *environment; /* all of it */
	const char *directory;
	const struct hook_user *user; /* NULL: ourselves */
	int umask;                    /* -1: as ours */
	uint32_t timeout_ms;          /* from the opening of the gate; not of one that talks */
	bool talks;
	bool dies_with_us; /* killed when we end; else it is for a successor to end */
};

enum hook_outcome {
	HOOK_EXITED,    /* value: exit status */
	HOOK_SIGNALED,  /* value: the signal; the whole group is gone */
	HOOK_TIMED_OUT, /* the whole group is gone */
	HOOK_NOT_RUN,   /* value: errno; not a line of it ran */
	HOOK_LOST,      /* of a helper's event: the helper ended before its answer; the whole group is gone */
};

struct hook_result {
	enum hook_outcome outcome;
	int value;
	const char *output; /* stdout: whole lines if there was more; NUL-terminated, valid in on_end only */
	size_t output_length;
	bool output_cut; /* there was more than HOOK_OUTPUT_MAX */
};

struct hook_callbacks {
	void (*on_line)(void *context, const char *line);                /* of stderr; of stdout too unless it is kept */
	void (*on_end)(void *context, const struct hook_result *result); /* once; hook_close may be called in it */
	/* Of one that talks: its stdout. length 0: it closed that. */
	void (*on_output)(void *context, const char *bytes, size_t length);
	/* Its group was killed and does not end: it became root, or waits for a disk. Once, on_end is still to come; or NULL. */
	void (*on_stuck)(void *context);
};

struct hook;

/* 0 or -errno: nothing was started. keep_output: stdout is kept for on_end, otherwise it is told in lines. */
int hook_start(struct hook **ret, uv_loop_t *loop, const struct hook_program *program, bool keep_output,
	const struct hook_callbacks *callbacks, void *context);

const struct process_group *hook_group(const struct hook *hook);

void hook_open(struct hook *hook);

/* Of one that talks: the descriptor of its stdin (-1: shut), and to shut that. */
int hook_input(const struct hook *hook);
void hook_shut_input(struct hook *hook);

/* SIGTERM, then SIGKILL to its group; on_end comes. */
void hook_stop(struct hook *hook);

void hook_close(struct hook *hook);

#endif
