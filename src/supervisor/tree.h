/* The tree: all roles of one state directory, and this process, which starts and watches them and does nothing else.
 *
 *   STARTING ── steward READY ──► RUNNING ── SIGTERM ──► STOPPING ── STOPPED ──► ENDING ── all gone ──► tree_run returns
 *       └────────── cannot start: nothing was served yet ─────────────────────────┘
 *
 * One tree a process. What must not be lost when a role dies is kept here: the accepted plan and config, both ends of the
 * channels, ledgers, census, lock, and the sockets of systemd. */
#ifndef SUPERVISOR_TREE_H
#define SUPERVISOR_TREE_H
#include "supervisor/estate.h"
#include "supervisor/inherited.h"
#include "supervisor/notify.h"
#include "supervisor/pair.h"
#include "supervisor/privilege.h"
#include "supervisor/steward.h"
#include "supervisor/upgrade.h"
#include "supervisor/workers.h"
#include "wire/census.h"
#include "wire/census_clients.h"
#include "wire/message.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum tree_state { TREE_STARTING, TREE_RUNNING, TREE_STOPPING, TREE_ENDING };

enum {
	TREE_START_TRIES = 5,       /* of a role, while the service was never ready */
	TREE_EXIT_INTERRUPTED = 130 /* ended at once by a second SIGINT */
};

struct tree {
	enum tree_state state;
	int exit_status;
	bool was_ready;
	const char *config_path;
	const char *self;            /* as we were called */
	struct program_set programs; /* those that are started */
	struct upgrade upgrade;
	struct privilege privilege;
	struct notify notify;
	struct inherited inherited;
	struct estate estate;
	bool taken_up; /* from a predecessor */

	uv_loop_t loop;
	uv_signal_t sigterm, sigint, sighup, sigusr2, sigchld;
	uv_timer_t tick, store; /* store: soon again, while systemd does not take what is to be left */
	uint64_t stored_ms;     /* when it had all of it last */
	uint64_t last_tick_ns, grace_ns;

	struct message_settings settings;
	bool prepared;                   /* settings are known, the lock is held, pairs exist */
	int lock_fd, census_fd, self_fd; /* self_fd: our pidfd */
	struct census *census;           /* to count out who will not come back */
	struct census_clients clients;
	uint64_t id;
	struct steward steward;
	struct pair pairs[CENSUS_RELAYS]; /* by index; those beyond `workers` are absent, or retire (workers.h) */
	struct growth growth;

	uint32_t accepted;   /* generation of what the steward accepted, 0: nothing yet */
	int accepted_fds[2]; /* plan, config text */

	bool reload_wanted;      /* SIGHUP: to be said to the steward, and again if it dies before it answers */
	bool reload_again;       /* another came meanwhile */
	bool notified_reloading; /* systemd waits for READY=1 */
	bool stop_wanted;
	uint64_t stop_deadline_ms; /* what the steward is told */
	uint64_t release_by_ms;    /* tree_release: by when all of it is to be over; 0: the service is run */
	uint64_t end_at_ms;        /* ENDING: SIGKILL then */
	bool end_killed;
	uint64_t extended_ms; /* when systemd was last asked to wait longer */
	bool interrupted;     /* one SIGINT was seen */
};

/* Runs the service until it ends. The exit status. */
int tree_run(struct tree *tree, const char *self, const char *config_path);

/* Likewise, but nothing is served: what a tree that has died had leased is released, within that time. 0: all of it. */
int tree_release(struct tree *tree, const char *self, const char *config_path, uint32_t allowed_ms);

/* From steward.c and pair.c. */
void tree_on_settings(struct tree *tree, const struct message_settings *settings);
void tree_on_accepted(struct tree *tree, struct message *accepted); /* takes its descriptors */
void tree_on_ready(struct tree *tree);
void tree_on_reloading(struct tree *tree);
void tree_on_reloaded(struct tree *tree, const struct message_outcome *outcome);
void tree_on_status(struct tree *tree, const struct message_outcome *outcome);
void tree_on_stopped(struct tree *tree); /* stop.c */
void tree_on_replace(struct tree *tree, const struct message_pair *which);
void tree_on_handed_over(struct pair *pair, enum hand_over_end end);

/* Roles that were started run once systemd has what a successor needs to know of them; or if it takes nothing for too long. */
void tree_let_run(struct tree *tree);

/* A role cannot be started. While nothing was ever served the tree gives up after some tries (at once with an exit status that
 * says why); later it never does. False: it gave up. */
bool tree_on_failed_start(struct tree *tree, const char *who, uint32_t failures, int final_status);

/* stop.c: ends what is left, and the loop once it is gone. The first status stands. */
void tree_end(struct tree *tree, int status, int signal);
bool tree_is_gone(const struct tree *tree);              /* nobody lives */
void tree_close(struct tree *tree);                      /* closes the handles, and so ends the loop */
void tree_check_end(struct tree *tree, uint64_t now_ms); /* a few times a second */
void tree_stop_at_once(struct tree *tree);               /* tree_release: before anything is started */
void tree_on_sigterm(uv_signal_t *handle, int signal);
void tree_on_sigint(uv_signal_t *handle, int signal);

static inline bool tree_is_ending(const struct tree *tree)
{
	return tree->state == TREE_ENDING;
}

#endif
