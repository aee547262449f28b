/* One lease, from being asked for until its row is gone. Known to this folder only.
 *
 * Its state (life_table.h) is what its row says or shall say. Its phase is what is being done about it now:
 *
 *   BEHIND ► QUEUED ► OPENING ► ACQUIRING ► CONFIRMING ► HELD ► ENDING ► TURN ► STARTING ► RELEASING ► LEAVING ► gone
 *                        │          │            └───── over ──────────────┤▲                 │ failed   ▲
 *                        │          ├ unknown ─────────────────────────────┘└──── BACKOFF ◄───┘          │
 *                        └──────────┴ not held ────────────────────────────────────────────────────────────┘
 *
 * OPENING, CONFIRMING, ENDING, STARTING and LEAVING wait for the store: what follows them happens only once the row says so. The
 * struct belongs to its struct leases and is freed once its row is gone, or when that ends. */
#ifndef STEWARD_LEASE_LEASE_H
#define STEWARD_LEASE_LEASE_H
#include "steward/helper/call.h"
#include "steward/hook/environment.h"
#include "steward/hook/hook.h"
#include "steward/hook/line.h"
#include "steward/lease/leases.h"
#include "steward/lease/record.h"
#include "steward/lease/store.h"
#include "steward/log/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum lease_phase {
	PHASE_LOADED,  /* read from the store, not judged yet */
	PHASE_BEHIND,  /* an earlier lease of its session is being released first */
	PHASE_QUEUED,  /* waits for its turn to run acquire */
	PHASE_OPENING, /* its row is being written, its acquire waits at the gate */
	PHASE_ACQUIRING,
	PHASE_CONFIRMING, /* taken; that is being written */
	PHASE_HELD,
	PHASE_ENDING,   /* its session is over; that is being written */
	PHASE_TURN,     /* waits for its turn to run release */
	PHASE_STARTING, /* its row is being written, its release waits at the gate */
	PHASE_RELEASING,
	PHASE_BACKOFF, /* release failed: again later */
	PHASE_LEAVING, /* its row is being removed */
	PHASE_GONE,
};

/* HELD, or already ENDING: the hook that runs for it meanwhile, which has hook, turn and timer of the lease to itself. */
enum held_stage {
	HELD_QUIET,
	HELD_WAITING,  /* for its turn */
	HELD_STARTING, /* its row is being written, it waits at the gate */
	HELD_RUNNING,
};
struct held_hook {
	enum held_stage stage;
	enum hook_event event;
	bool connected_due;
};

struct lease {
	struct leases *leases;
	enum lease_phase phase;
	struct lease_record record;
	struct hook_order acquire;
	uint32_t acquire_queue;
	bool allow_on_error;
	uint32_t cooldown_ms;
	bool tries;               /* its acquire is the one that tries a cold hook */
	bool wanted;              /* a verdict is owed */
	bool last_try;            /* who holds has been asked whether he lives: busy is refused */
	bool over;                /* no longer to be held: its session is over, or does not want it */
	struct lease_move *moves; /* of its session from relay to relay, whose givers wait until they are on disk */
	bool end_owed;            /* on_end_durable is to be called once the row says what it says now */
	struct held_hook held;
	uint32_t failures; /* releases failed since we started */
	struct store_item item;
	struct hook *hook;        /* its hook at work: a process, */
	struct helper_call *call; /* or what a helper was asked */
	uint32_t losses;          /* helpers that ended before they answered */
	struct hook_turn turn;
	uv_timer_t timer;
	struct lease *successor, *predecessor; /* who is BEHIND this one; whom this one is BEHIND */
	struct lease *next, *previous;         /* in leases.all */
	struct lease *next_in_bucket;
};

void lease_init(struct lease *lease, struct leases *leases);
void lease_begin(struct lease *lease); /* a new one, with nothing before it */
void lease_wait(struct lease *lease, struct lease *predecessor);
void lease_on_durable(struct lease *lease);
void lease_save(struct lease *lease);
void lease_answer_held(struct lease *lease); /* asked again while it is held */
void lease_end(struct lease *lease, const struct session_record *record, bool recovered);
bool lease_is_given_back(const struct lease *lease); /* it was held, and is on its way out */
void lease_moved(struct lease *lease, const struct session_key *to);
void lease_pay_moves(struct lease *lease); /* its row is on disk, or gone */
void lease_forget_moves(struct lease *lease);
void lease_hold(struct lease *lease, bool changed); /* LOADED, and its session lives; changed: its row says less than is known */
void lease_release(struct lease *lease);
void lease_retry_now(struct lease *lease);       /* BACKOFF */
void lease_refuse_shutdown(struct lease *lease); /* BEHIND, QUEUED */
void lease_close(struct lease *lease);           /* whatever it does; freed when its handles are closed */

/* Steps that its parts share (acquire.c, held.c, release.c). */
#define LEASE_LOG(lease, priority, ...)                                                                                          \
	log_session_line(priority, (lease)->record.session.service, (lease)->record.key.id, __VA_ARGS__)
void *lease_must(void *memory);                               /* ends the process if it is NULL */
void lease_move(struct lease *lease, enum lease_event event); /* the only setter of record.state; a forbidden move is told */
void lease_set_phase(struct lease *lease, enum lease_phase phase);
void lease_refuse(struct lease *lease, enum who who, enum how how, int error);
void lease_go_without(struct lease *lease, enum who who, enum how how, int error); /* or refuse, as on_error says */
void lease_leave(struct lease *lease, enum lease_event event);                     /* one that leads to GONE */
void lease_held_next(struct lease *lease); /* HELD: what is due now, or the time when renew is */
void lease_held_turn(struct lease *lease);
void lease_held_durable(struct lease *lease); /* HELD */
bool lease_held_cut_off(struct lease *lease); /* LOADED, and HELD now: connected had begun. Whether its row is to be written */
bool lease_held_is_over(struct lease *lease); /* ENDING: nothing runs; otherwise lease_release follows when nothing does */
void lease_connected(struct lease *lease, const struct session_record *record);
void lease_unlink_predecessor(struct lease *lease);
enum {
	LEASE_LOSSES_MAX = 3,    /* a helper that ends at each try may do so because of it */
	LEASE_LATE_POLL_MS = 20, /* how often it is asked whether a helper's answer is still overdue */
};
void lease_acquire_turn(struct lease *lease);
void lease_untried(struct lease *lease); /* if its acquire was to try a cold hook, another may */
void lease_release_turn(struct lease *lease);

/* work.c: the hook that is at work for it. Starts one, at its gate. 0 or -errno. */
int lease_start_hook(struct lease *lease, enum hook_event event, const struct hook_callbacks *callbacks);
void lease_open_hook(struct lease *lease);
void lease_close_hook(struct lease *lease);
void lease_drop_hook(struct lease *lease); /* also its place in the line */
void lease_on_hook_line(void *context, const char *line);
void lease_on_hook_stuck(void *context);

/* How it ended, otherwise than well, for people. */
void lease_describe(char *text, size_t size, const struct lease *lease, enum hook_event event, const struct hook_result *result);

#endif
