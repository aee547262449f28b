/* One lease, from being asked for until its row is gone. Known to lease.c and lease_machine.c only.
 *
 *   BEHIND ► QUEUED ► OPENING ► ACQUIRING ► CONFIRMING ► HELD ► ENDING ► TURN ► STARTING ► RELEASING ► LEAVING ► gone
 *                        │          │            └───── over ──────────────┤▲                 │ failed   ▲
 *                        │          ├ unknown ─────────────────────────────┘└──── BACKOFF ◄───┘          │
 *                        └──────────┴ not held ────────────────────────────────────────────────────────────┘
 *
 * OPENING, CONFIRMING, ENDING, STARTING and LEAVING wait for the store: what follows them happens only once the row says so. The
 * struct belongs to its struct leases and is freed by lease_gone, or when that ends. */
#ifndef STEWARD_LEASE_MACHINE_H
#define STEWARD_LEASE_MACHINE_H
#include "steward/hook.h"
#include "steward/hook_environment.h"
#include "steward/hook_line.h"
#include "steward/lease.h"
#include "steward/lease_record.h"
#include "steward/store.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum lease_phase {
	PHASE_LOADED,     /* read from the store, not judged yet */
	PHASE_BEHIND,     /* an earlier lease of its session is being released first */
	PHASE_QUEUED,     /* waits for its turn to run acquire */
	PHASE_OPENING,    /* its row is being written, its acquire waits at the gate */
	PHASE_ACQUIRING,
	PHASE_CONFIRMING, /* taken; that is being written */
	PHASE_HELD,
	PHASE_ENDING,     /* its session is over; that is being written */
	PHASE_TURN,       /* waits for its turn to run release */
	PHASE_STARTING,   /* its row is being written, its release waits at the gate */
	PHASE_RELEASING,
	PHASE_BACKOFF,    /* release failed: again later */
	PHASE_LEAVING,    /* its row is being removed */
	PHASE_GONE,
};

struct lease {
	struct leases *leases;
	enum lease_phase phase;
	struct lease_record record;
	struct hook_order acquire;
	uint32_t acquire_queue;
	bool allow_on_error;
	bool wanted;       /* a verdict is owed */
	bool over;         /* no longer to be held: its session is over, or does not want it */
	bool end_owed;     /* on_end_durable is to be called once the row says what it says now */
	uint32_t failures; /* releases failed since we started */
	struct store_item item;
	struct hook *hook;
	struct hook_turn turn;
	uv_timer_t timer;
	struct lease *successor, *predecessor; /* who is BEHIND this one; whom this one is BEHIND */
	struct lease *next, *previous; /* in leases.all */
	struct lease *next_in_bucket;
};

/* What lease.c does for it. */
void leases_owe_verdict(struct leases *leases, const struct session_key *key, const struct message_verdict *verdict);
void leases_owe_durable(struct leases *leases, const struct session_key *key);
struct hook_line *leases_line(struct leases *leases, const char *service, enum hook_event event);
struct store *leases_store(struct leases *leases);
uv_loop_t *leases_loop(struct leases *leases);
bool leases_stopping(const struct leases *leases);
void leases_phase_changed(struct leases *leases, enum lease_phase from, enum lease_phase to);
void leases_forget(struct leases *leases, struct lease *lease); /* from the lists; lease_gone frees */

void lease_init(struct lease *lease, struct leases *leases);
void lease_begin(struct lease *lease);                       /* a new one, with nothing before it */
void lease_wait(struct lease *lease, struct lease *predecessor);
void lease_on_durable(struct lease *lease);
void lease_save(struct lease *lease);
void lease_answer_held(struct lease *lease);                 /* asked again while it is held */
void lease_cancel(struct lease *lease);
void lease_end(struct lease *lease, const struct session_record *record, bool recovered);
void lease_hold(struct lease *lease);                        /* LOADED, and its session lives */
void lease_release(struct lease *lease);
void lease_retry_now(struct lease *lease);                   /* BACKOFF */
void lease_refuse_shutdown(struct lease *lease);             /* BEHIND, QUEUED */
void lease_close(struct lease *lease);                       /* whatever it does; freed when its handles are closed */

#endif
