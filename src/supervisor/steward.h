/* The steward as the supervisor sees it: one process at a time, its channel, its pulse, and what it has been told.
 *
 *   DOWN ── exec ──► STARTING ── SETTINGS ──► BEGUN ── READY ──► READY
 *     ▲                  (any state: died) ───────────────────────┘       one that a predecessor left begins here
 *
 * Nothing is queued for it: steward_say compares what it has been told with what is so, and says the difference, in an order that
 * suits a start. So a message that does not fit now is said later, and a new steward is told all. Owned by the tree; started by
 * steward_start, and never gone before the tree. */
#ifndef SUPERVISOR_STEWARD_H
#define SUPERVISOR_STEWARD_H
#include "supervisor/backoff.h"
#include "supervisor/heart.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct tree;
struct process;
struct watch;

enum steward_state { STEWARD_DOWN, STEWARD_STARTING, STEWARD_BEGUN, STEWARD_READY };

struct steward {
	struct tree *tree;
	enum steward_state state;
	struct process *process; /* NULL: none lives */
	struct watch *channel;   /* our end; a new pair for each process */
	struct heart heart;
	struct backoff backoff;
	uv_timer_t retry;
	uint32_t starts;
	uint64_t since_ns; /* when this process was started */
	bool killed;       /* this process was sent SIGKILL */
	bool replaced;     /* by another version: its end is no news */
	uint32_t program;  /* number of the set that its program is of */
	struct {           /* what this process was told */
		bool resume, begin, stop, reload;
		int inherited;
		struct message_pairs pairs;
		uint32_t upgrade; /* upgrade.changes */
	} told;
};

int steward_init(struct steward *steward, struct tree *tree);

/* As a predecessor left it: one that serves goes on, any other one is ended, and started again. 0, or -errno: one may live that
 * nobody can end. */
int steward_take_up(struct steward *steward);

/* Never fails: what does not work is tried again. */
void steward_start(struct steward *steward);

/* Says what is to be said, as far as it can be now (steward_say.c). */
void steward_say(struct steward *steward);

/* A few times a second: kills it if its loop hangs. `grace_ns`: silence before that does not count. */
void steward_check(struct steward *steward, uint64_t now_ns, uint64_t grace_ns);

void steward_signal(struct steward *steward, int signal);

/* Another one is started, as after its death. */
void steward_replace(struct steward *steward);

/* Closes the handle: when the tree ends and the process is gone. */
void steward_fini(struct steward *steward);

#endif
