#include "steward/reclaim/round.h"

#include "steward/log/log.h"
#include "wire/census.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	LATE_LEAST_MS = 1500, /* a relay judges within a quarter more than the timeout, or a second (relay/reclaim.c); and half */
	LATE_PART = 4,        /* a second more is for its way here and back */
	STANDS_MS = 1000,
};

struct round *round_new(const struct message_reclaim *order, const struct reclaim_terms *terms, uint64_t now_ms)
{
	struct round *round = calloc(1, sizeof *round);

	if (!round)
		return NULL;
	round->order = *order;
	snprintf(round->service, sizeof round->service, "%s", terms->service);
	round->release_timeout_ms = terms->release_timeout_ms;
	round->began_ms = now_ms;
	round->end = &round->first;
	return round;
}

void round_free(struct round *round)
{
	while (round->first)
		free(round_take(round, &round->first));
	free(round);
}

int round_add(struct round *round, const struct session_key *key, const struct session_record *record)
{
	struct newcomer *newcomer = malloc(sizeof *newcomer);

	if (!newcomer)
		return -ENOMEM;
	*newcomer = (struct newcomer){.key = *key, .record = *record};
	*round->end = newcomer;
	round->end = &newcomer->next;
	round->newcomers++;
	return 0;
}

struct newcomer **round_find(struct round *round, const struct session_key *key)
{
	struct newcomer **at = &round->first;

	while (*at && ((*at)->key.id != key->id || (*at)->key.relay != key->relay || (*at)->key.incarnation != key->incarnation))
		at = &(*at)->next;
	return *at ? at : NULL;
}

struct newcomer *round_take(struct round *round, struct newcomer **at)
{
	struct newcomer *newcomer = *at;

	*at = newcomer->next;
	if (!newcomer->next)
		round->end = at;
	round->newcomers--;
	return newcomer;
}

static uint64_t judged_within_ms(const struct round *round)
{
	uint32_t late_ms = round->order.timeout_ms / LATE_PART;

	return (uint64_t)round->order.timeout_ms + (late_ms > LATE_LEAST_MS ? late_ms : LATE_LEAST_MS);
}

void round_ask(struct round *round, const struct reclaims_host *host, void *context, uint64_t relays, uint64_t now_ms)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if ((relays >> i & 1) && host->ask(context, i, &round->order)) {
			round->owing |= (uint64_t)1 << i;
			round->leaving &= ~((uint64_t)1 << i);
		}
	round->state = ROUND_ASKING;
	round->deadline_ms = now_ms + judged_within_ms(round);
}

void round_answer(struct round *round, uint32_t relay, const struct message_reclaimed *answer)
{
	uint64_t bit = (uint64_t)1 << relay;

	if (round->owing & bit) {
		round->asked += answer->asked;
		round->silent += answer->silent;
		round->owing &= ~bit;
		round->leaving |= bit;
	}
	if (answer->left == 0)
		round->leaving &= ~bit;
}

static void tell(const struct round *round, uint64_t now_ms)
{
	const char *what = round->order.holders == HOLDERS_LEASED ? "acquire is busy"
			   : round->order.client.family           ? "full for a client"
								  : "full";

	log_line(round->silent  ? LOG_NOTICE
		 : round->asked ? LOG_INFO
				: LOG_DEBUG,
		"%s: %s: %" PRIu32 " sessions were asked whether they live, %" PRIu32 " did not answer within %" PRIu64 " ms%s",
		round->service, what, round->asked, round->silent, now_ms - round->began_ms,
		round->owing ? " (a relay has not said how many)" : "");
}

bool round_step(struct round *round, const struct reclaims_host *host, void *context, uint64_t now_ms)
{
	switch (round->state) {
	case ROUND_ASKING:
		if (round->owing && now_ms < round->deadline_ms)
			return false;
		tell(round, now_ms);
		round->state = ROUND_EMPTYING;
		round->left = false;
		round->deadline_ms = now_ms + round->release_timeout_ms;
		return true;
	case ROUND_EMPTYING:
		if (!round->left && !round->leaving) { /* what they held is being given back, or was already */
			round->left = true;
			round->to_give_back = round->given_back + host->giving_back(context, round->service);
		}
		if ((!round->left || round->given_back < round->to_give_back) && now_ms < round->deadline_ms)
			return false;
		round->state = ROUND_OVER;
		round->deadline_ms = now_ms + STANDS_MS;
		return true;
	case ROUND_OVER:
		break;
	}
	return false;
}
