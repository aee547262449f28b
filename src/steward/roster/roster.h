/* The relays as the steward sees them: a pair (pair.h) for each, by index.
 *
 * The supervisor says which there are; what a relay says is checked against its ledger before anything comes of it, and comes out
 * through roster_host. Owner: the steward's role; ends by roster_close, then roster_free when on_closed has come. */
#ifndef STEWARD_ROSTER_ROSTER_H
#define STEWARD_ROSTER_ROSTER_H
#include "steward/lease/leases.h"
#include "steward/listen/listeners.h"
#include "steward/roster/end_counts.h"
#include "wire/message.h"
#include "wire/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct pair;

struct roster_host {
	/* The session waits; client and local are from its socket. The answer is roster_verdict. */
	void (*on_acquire)(void *context, const struct session_key *key, const struct session_record *record);
	/* Over; the answer is roster_durable. recovered: its processes are gone. */
	void (*on_ended)(void *context, const struct session_key *key, const struct session_record *record, bool recovered);
	/* Its slot is another session's, without a word of its end. */
	void (*on_missed)(void *context, const struct session_key *key);
	/* A hooked session's backend is connected; may be said more than once. */
	void (*on_connected)(void *context, const struct session_key *key, const struct session_record *record);
	/* It is another relay's now: its lease belongs to `to` from here on. The answer is roster_durable, for `from`. */
	void (*on_moved)(void *context, const struct session_key *from, const struct session_key *to);
	/* It waits for a place in its full service; the answer is roster_room. */
	void (*on_full)(void *context, const struct session_key *key, const struct slot *slot);
	/* Answer of that relay to roster_reclaim, twice where some are left at first. */
	void (*on_reclaimed)(void *context, uint32_t relay, const struct message_reclaimed *reclaimed);
	/* It has started, and knows nothing of what was asked of a predecessor. */
	void (*on_relay_began)(void *context, uint32_t relay);
	void (*on_resolve)(void *context, const char *backend); /* address text */
	void (*on_violation)(void *context, const struct message_pair *pair);
	void (*on_progress)(void *context); /* a relay took a plan, answered for a listener, came or went */
	void (*on_closed)(void *context);
};

struct roster {
	uv_loop_t *loop;
	const struct roster_host *host;
	void *context;
	struct listeners *listeners; /* not ours */
	struct pair *of[CENSUS_RELAYS];
	uint32_t relays; /* above the highest of them; where workers were fewer for a while, some below are absent, too */
	size_t open; /* pairs that are not freed yet, also lost ones */
	bool closing;
	bool started; /* pairs are listened to */
	int plan_fd;  /* ours, -1: none */
	struct plan plan;
	uint32_t generation;
	bool draining;
	bool killing;
	struct message_kill kill_all;
	uint64_t events_lost;
	struct end_counts ends;
};

void roster_init(
	struct roster *roster, uv_loop_t *loop, struct listeners *listeners, const struct roster_host *host, void *context);
void roster_close(struct roster *roster);
void roster_free(struct roster *roster);

/* A pair of `relays` in all; takes both descriptors whatever comes of it. A new incarnation takes the place of an older one. 0 or
 * -errno. */
int roster_add(struct roster *roster, const struct message_pair *pair, int ledger_fd, int channel);

/* Its descriptor table is gone, since it retired, or died with all that it had: every session in its ledger is ended as system.lost, if it is not ended already. */
void roster_lose(struct roster *roster, const struct message_pair *pair);

/* Likewise each pair of which no process is left, as far as that can be seen from here: for when there is no supervisor to say so. Call
 * it now and then. */
void roster_lose_dead(struct roster *roster);

bool roster_has(const struct roster *roster, uint64_t pairs); /* a pair at each of these indices */

/* From now on relays are heard, and greeted. */
void roster_start(struct roster *roster);

/* The plan that relays are to take; the descriptor becomes ours. 0 or -errno: plan_map(3 of plan.h). */
int roster_set_plan(struct roster *roster, int plan_fd, uint32_t generation);

/* Every pair has taken the plan / and answered for every listener that is wanted; failed counts those that could not be
 * opened. */
bool roster_planned(const struct roster *roster);
bool roster_has_plan(const struct roster *roster, uint32_t relay);
bool roster_settled(const struct roster *roster, uint32_t *ret_failed);

void roster_view(const struct roster *roster, struct ledger_view *ret);

void roster_verdict(struct roster *roster, const struct session_key *key, const struct message_verdict *verdict);
void roster_durable(struct roster *roster, const struct session_key *key);

/* Where the session is, and a copy of its slot. 0; -ENOENT: no such session. */
int roster_find(const struct roster *roster, uint64_t id, uint32_t *ret_relay, uint32_t *ret_slot, struct slot *ret);

/* 0; -ENOENT: no such session. */
int roster_kill(struct roster *roster, uint64_t id, bool now, const struct reason *reason);
/* Has its relay ask both peers for a sign of life. 0; -ENOENT: no such session. */
int roster_probe(struct roster *roster, uint64_t id);
/* Has that relay ask its holders whether they live. False: there is no such relay now. */
bool roster_reclaim(struct roster *roster, uint32_t relay, const struct message_reclaim *order);
void roster_room(struct roster *roster, const struct session_key *key);
void roster_drain(struct roster *roster);
void roster_kill_all(struct roster *roster, bool now, const struct reason *reason);

uint64_t roster_live(const struct roster *roster); /* slots that are not free */

/* No session lives, no relay lists a listener, and every event is taken: nothing more can come. */
bool roster_quiet(const struct roster *roster);

/* For people: a session that goes from relay to relay is listed once, by its giver until its taker has begun it. */
bool roster_lists_elsewhere(const struct roster *roster, const struct slot *slot);
uint64_t roster_sessions_in(const struct roster *roster, uint32_t relay); /* likewise counted once */

/* For leases: of a session that is between two relays the giver is the owner until it is GONE. */
static inline bool roster_slot_is_other(const struct slot *slot)
{
	return atomic_load(&slot->state) == SLOT_GONE || atomic_load(&slot->state) == SLOT_ARRIVING;
}

/* Before leases_recover: leases get the keys under which their sessions live now. */
void roster_settle_moves(struct roster *roster);

/* For leases_recover. */
bool roster_lives(const struct roster *roster, const struct session_key *key, struct slot *ret);
void roster_each_live(const struct roster *roster,
	void (*visit)(void *visitor, const struct session_key *key, const struct slot *slot), void *visitor);

void roster_push(struct roster *roster); /* says what is due now */

/* Events that a lost message did not announce are taken: call it now and then. */
void roster_tick(struct roster *roster);

const struct ledger *roster_ledger(const struct roster *roster, uint32_t relay); /* NULL: none now */
uint32_t roster_incarnation(const struct roster *roster, uint32_t relay);

/* What names a unix end of this session in text, or NULL. */
const char *roster_local_text(const struct roster *roster, const struct session_record *record);
const char *roster_backend_text(const struct roster *roster, const struct session_record *record);

#endif
