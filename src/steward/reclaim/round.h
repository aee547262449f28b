/* One round of asking the holders of a service; reclaims.h says what it is for. Known to this folder only. The newcomers in it
 * are the round's; it ends by round_free. */
#ifndef STEWARD_RECLAIM_ROUND_H
#define STEWARD_RECLAIM_ROUND_H
#include "steward/reclaim/reclaims.h"

enum round_state { ROUND_ASKING, ROUND_EMPTYING, ROUND_OVER };

/* One whose acquire said busy. */
struct newcomer {
	struct session_key key;
	struct session_record record;
	struct newcomer *next;
};

struct round {
	struct round *next;
	struct message_reclaim order;
	char service[SERVICE_NAME_SIZE];
	uint32_t release_timeout_ms;
	enum round_state state;
	uint64_t began_ms, deadline_ms; /* of the state */
	uint64_t owing;                 /* relays that have not judged all yet; here and below a bit for each */
	uint64_t leaving;               /* relays whose silent ones have not gone yet */
	uint32_t asked, silent;         /* over all relays */
	uint32_t given_back;            /* what sessions of the service held, since it began */
	uint32_t to_give_back;          /* EMPTYING, once all who leave have left: how many are to be waited for */
	bool left;                      /* they have */
	uint32_t let_in;                /* newcomers that are being acquired for again */
	uint32_t repeats;               /* a relay started anew, and was asked again */
	uint32_t newcomers;
	struct newcomer *first, **end; /* HOLDERS_LEASED only, in the order of arrival */
};

/* NULL: out of memory. */
struct round *round_new(const struct message_reclaim *order, const struct reclaim_terms *terms, uint64_t now_ms);
void round_free(struct round *round);

/* 0 or -ENOMEM. */
int round_add(struct round *round, const struct session_key *key, const struct session_record *record);
struct newcomer **round_find(struct round *round, const struct session_key *key); /* NULL: not there */
struct newcomer *round_take(struct round *round, struct newcomer **at);           /* the caller's now */

/* Relays are asked, or asked again. */
void round_ask(struct round *round, const struct reclaims_host *host, void *context, uint64_t relays, uint64_t now_ms);
void round_answer(struct round *round, uint32_t relay, const struct message_reclaimed *answer);

/* Into the next state if it is time for that. True: it has changed. */
bool round_step(struct round *round, const struct reclaims_host *host, void *context, uint64_t now_ms);

#endif
