/* One relay as the steward sees it: its channel, its ledger (read only), what it is still to be told, and how far its events are
 * taken.
 *
 * What must be said again after a loss is kept as state (hello, plan, listeners, drain, kill all); answers to a session are a
 * queue, since the relay asks again if one is lost with us. Owner: the roster; ends by pair_close, which frees it when its
 * handles are closed. */
#ifndef STEWARD_ROSTER_PAIR_H
#define STEWARD_ROSTER_PAIR_H
#include "steward/roster/roster.h"

struct pair_answer {
	enum message_kind kind;
	union {
		struct message_verdict verdict;
		struct message_session session;
		struct message_kill kill;
		struct message_reclaim reclaim;
	} body;
};

struct pair {
	struct roster *roster;
	struct message_pair name;
	struct ledger ledger;
	int channel;
	uv_poll_t poll;
	uv_idle_t more; /* runs while there are events left to take */
	int handles;    /* open ones; the last frees the pair */
	bool closing;
	bool deaf;     /* the channel has no other end any more */
	bool violated; /* nothing more is heard until it says hello anew */
	bool hello_due, plan_due, drain_due, kill_due;
	uint32_t plan_taken; /* generation, 0: none */
	uint64_t ownerless_ms; /* since when the owner of its ledger is dead, uv_now, 0: lives */
	uint64_t events_taken, events_told;
	struct pair_answer *answers; /* a ring */
	uint64_t *asked; /* by slot: the session for which a lease was asked there, 0: none, or its end was told */
	size_t answer_first, answer_count, answer_size;
	int watched; /* uv_poll events asked for */
};

static inline struct session_key pair_key(const struct pair *p, uint64_t id, uint32_t slot)
{
	return (struct session_key){.relay = p->name.relay, .incarnation = p->name.incarnation, .slot = slot, .id = id};
}

/* Takes both descriptors whatever comes of it. 0 or -errno (ledger_map's). */
int pair_new(struct pair **ret, struct roster *roster, const struct message_pair *name, int ledger_fd, int channel);
void pair_start(struct pair *pair);
void pair_close(struct pair *pair);

/* Says what is due, as far as the channel takes it; the rest when it is writable. */
void pair_push(struct pair *pair);
void pair_answer(struct pair *pair, const struct pair_answer *answer);

/* Takes up to `most` events. True if more wait. */
bool pair_take_events(struct pair *pair, uint64_t most);

/* A session's start or end goes to the log, an end is counted. */
void pair_tell_event(struct pair *pair, const struct ledger_event *event);

/* pair_requests.c: what a relay asks. False: it said what it may not. */
bool pair_handle(struct pair *pair, struct message *message);

/* pair_death.c. Nobody has its end of the channel any more; or, where the service manager keeps that for a successor of the
 * supervisor, its relay is dead and no other has come for long. */
bool pair_is_dead(struct pair *pair, uint64_t now_ms);

/* moves.c: that relay says of this slot that its session is GONE to another one. */
void pair_tell_moved(struct pair *pair, uint32_t index, const struct slot *slot);

/* What came from another relay may be over before that one could say that it is GONE. */
void pair_settle_origin(struct pair *pair, uint32_t index, const struct slot *slot);

/* Its table is gone. Between two relays a session may be listed by both: whether this one is the other's, which is then told. */
bool pair_lists_for_other(struct pair *pair, uint32_t index, const struct slot *slot);

/* Ends what its ledger still lists as lost. */
void pair_end_lost(struct pair *pair);

#endif
