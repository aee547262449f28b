#include "steward/reclaim/reclaims.h"

#include "steward/log/log.h"
#include "steward/reclaim/round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	LOOK_MS = 50,
	REPEATS_MOST = 2,
	ROUNDS_MOST = 256,     /* at a time, in a second's time or so: each has relays look through their tables */
	NEWCOMERS_MOST = 1024, /* in one of them, that were told busy */
};

struct reclaims {
	uv_loop_t *loop;
	const struct reclaims_host *host;
	void *context;
	uv_timer_t timer; /* runs while there are rounds */
	struct round *rounds;
	uint32_t count; /* of them */
	uint64_t last_number;
};

static void on_timer(uv_timer_t *timer);

int reclaims_new(struct reclaims **ret, uv_loop_t *loop, const struct reclaims_host *host, void *context)
{
	struct reclaims *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	*r = (struct reclaims){.loop = loop, .host = host, .context = context};
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	*ret = r;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void reclaims_close(struct reclaims *r)
{
	while (r->rounds) {
		struct round *round = r->rounds;

		r->rounds = round->next;
		round_free(round);
	}
	uv_close((uv_handle_t *)&r->timer, on_closed);
}

/* Looks at all rounds in the loop's next turn, and then now and then. */
static void wake(struct reclaims *r)
{
	uv_timer_start(&r->timer, on_timer, 0, LOOK_MS);
}

bool reclaims_is_for(
	const struct message_reclaim *order, uint32_t service_id, enum holders holders, const struct endpoint *client)
{
	if (order->service_id != service_id || order->holders != holders)
		return false;
	if (!client)
		return order->client.family == AF_UNSPEC;
	return order->client.family == client->family && memcmp(order->client.ip, client->ip, sizeof client->ip) == 0;
}

static struct round *find(struct reclaims *r, uint32_t service_id, enum holders holders, const struct endpoint *client)
{
	struct round *round = r->rounds;

	while (round && !reclaims_is_for(&round->order, service_id, holders, client))
		round = round->next;
	return round;
}

/* The round that goes on, or a new one; NULL: one has just ended, or there is no memory. */
static struct round *join(
	struct reclaims *r, const struct reclaim_terms *terms, enum holders holders, const struct endpoint *client)
{
	struct round *round = find(r, terms->service_id, holders, client);
	struct message_reclaim order = {.service_id = terms->service_id, .holders = holders, .timeout_ms = terms->timeout_ms};

	if (round)
		return round->state == ROUND_OVER ? NULL : round;
	if (r->count >= ROUNDS_MOST)
		return NULL;
	/* A relay may still answer to a predecessor. */
	r->last_number = uv_hrtime() > r->last_number ? uv_hrtime() : r->last_number + 1;
	order.round = r->last_number;
	if (client)
		order.client = *client;
	round = round_new(&order, terms, uv_now(r->loop));
	if (!round) {
		log_line(LOG_ERR, "%s: no memory to ask whether its sessions live", terms->service);
		return NULL;
	}
	round->next = r->rounds;
	r->rounds = round;
	r->count++;
	round_ask(round, r->host, r->context, ~(uint64_t)0, uv_now(r->loop));
	wake(r);
	return round;
}

bool reclaims_full(struct reclaims *r, const struct reclaim_terms *terms, const struct endpoint *client)
{
	return join(r, terms, HOLDERS_COUNTED, client) != NULL;
}

bool reclaims_busy(
	struct reclaims *r, const struct reclaim_terms *terms, const struct session_key *key, const struct session_record *record)
{
	struct round *round = join(r, terms, HOLDERS_LEASED, NULL);

	return round && round->newcomers < NEWCOMERS_MOST && round_add(round, key, record) == 0;
}

bool reclaims_keep(const struct reclaims *r, const struct session_key *key)
{
	for (struct round *round = r->rounds; round; round = round->next)
		if (round_find(round, key))
			return true;
	return false;
}

void reclaims_forget(struct reclaims *r, const struct session_key *key)
{
	for (struct round *round = r->rounds; round; round = round->next) {
		struct newcomer **at = round_find(round, key);

		if (at)
			free(round_take(round, at));
	}
}

void reclaims_on_answer(struct reclaims *r, uint32_t relay, const struct message_reclaimed *answer)
{
	for (struct round *round = r->rounds; round; round = round->next)
		if (round->order.round == answer->round) {
			round_answer(round, relay, answer);
			wake(r);
		}
}

void reclaims_on_relay_began(struct reclaims *r, uint32_t relay)
{
	uint64_t bit = (uint64_t)1 << relay;

	for (struct round *round = r->rounds; round; round = round->next)
		if (((round->owing | round->leaving) & bit) && round->state != ROUND_OVER && round->repeats < REPEATS_MOST) {
			round->repeats++;
			round_ask(round, r->host, r->context, bit, uv_now(r->loop));
		}
}

void reclaims_on_given_back(struct reclaims *r, const char *service)
{
	for (struct round *round = r->rounds; round; round = round->next)
		if (strcmp(round->service, service) == 0) {
			round->given_back++;
			wake(r);
		}
}

/* Whatever is given back, by whomever, one newcomer is acquired for again. */
static void let_in(struct reclaims *r, struct round *round)
{
	while (round->first && round->let_in < round->given_back) {
		struct newcomer *newcomer = round_take(round, &round->first);

		round->let_in++;
		r->host->acquire_again(r->context, &newcomer->key, &newcomer->record);
		free(newcomer);
	}
}

/* Who has not been let in need not ask again: nothing has changed for him. */
static void finish(struct reclaims *r, struct round *round)
{
	if (round->order.holders == HOLDERS_COUNTED)
		r->host->try_places(r->context, &round->order);
	while (round->first) {
		struct newcomer *newcomer = round_take(round, &round->first);

		r->host->refuse_busy(r->context, &newcomer->key, &newcomer->record);
		free(newcomer);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct reclaims *r = timer->data;
	struct round **at = &r->rounds;
	uint64_t now_ms = uv_now(r->loop);

	while (*at) {
		struct round *round = *at;

		let_in(r, round);
		while (round_step(round, r->host, r->context, now_ms))
			if (round->state == ROUND_OVER)
				finish(r, round);
		if (round->state == ROUND_OVER && now_ms >= round->deadline_ms) {
			*at = round->next;
			r->count--;
			round_free(round);
		} else {
			at = &round->next;
		}
	}
	if (!r->rounds)
		uv_timer_stop(timer);
}
