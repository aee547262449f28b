#include "relay/reclaim.h"

#include "base/clock.h"
#include "relay/cause.h"
#include "relay/ending.h"
#include "relay/own.h"
#include "relay/probe.h"
#include "relay/question.h"
#include "relay/session.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	ASKS = 24, /* in the timeout: on a path that loses three of ten packets each way, one answer comes all the same */
	ASK_LEAST_MS = 100, /* but not more often than that */
	STEP_MS = 5,        /* the holders of one look are spread over its time in steps of this */
	STEP_LEAST = 64,    /* with so many at once */
	LOOK_LEAST_MS = 20, /* between two looks */
	LATE_LEAST_MS = 1000,
	LATE_PART = 4, /* after the timeout a round lasts this part of it more, or LATE_LEAST_MS */
};

struct holder {
	uint64_t id;
	uint32_t slot;
	bool pressed; /* keepalive is not as its policy says */
	bool goes;    /* silent, or ended by itself: what it holds will be free */
	struct question question;
};

struct reclaim {
	struct reclaim *next;
	struct message_reclaim order;
	uint64_t end_ms;   /* who has not been judged by then lives */
	uint64_t due_ms;   /* of the next step */
	uint64_t look_ms;  /* when the next look begins */
	uint64_t judge_ms; /* the earliest moment at which one of this look may be judged; UINT64_MAX: none */
	uint32_t look_every_ms;
	uint32_t at, at_once; /* how far this look has come, and how many it takes in one step */
	uint32_t asked, silent;
	bool judged_told;
	uint32_t count;
	struct holder holders[];
};

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static bool same_host(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool holds(const struct slot *slot, const struct message_reclaim *order)
{
	enum slot_state state = slot_state(slot);
	bool of_client = order->client.family != AF_UNSPEC;

	if (state == SLOT_FREE || state == SLOT_RELEASING || state == SLOT_LEAVING || state == SLOT_GONE ||
		state == SLOT_ARRIVING || slot->record.service_id != order->service_id ||
		(of_client && !same_host(&order->client, &slot->record.client)))
		return false;
	if (order->holders == HOLDERS_LEASED)
		return slot->record.fence != 0;
	return slot->counted & (of_client ? COUNTED_CLIENT : COUNTED_SERVICE);
}

static struct reclaim *collect(struct relay *relay, const struct message_reclaim *order)
{
	uint32_t high = atomic_load(&relay->header->high_water), room = 0;
	struct reclaim *round = calloc(1, sizeof *round);

	for (uint32_t i = 0; round && i < high; i++) {
		const struct slot *slot = &relay->ledger.slots[i];

		if (!holds(slot, order))
			continue;
		if (round->count == room) {
			struct reclaim *larger_one;

			room = room ? 2 * room : 16;
			larger_one = realloc(round, sizeof *round + room * sizeof round->holders[0]);
			if (!larger_one) {
				free(round);
				return NULL;
			}
			round = larger_one;
		}
		round->holders[round->count++] = (struct holder){.id = slot->record.id, .slot = i};
	}
	return round;
}

static void drop_same(struct relay *relay, const struct message_reclaim *order)
{
	struct reclaim **at = &relay->reclaims;

	while (*at) {
		struct reclaim *round = *at;

		if (round->order.service_id != order->service_id || round->order.holders != order->holders ||
			round->order.client.family != order->client.family || !same_host(&round->order.client, &order->client)) {
			at = &round->next;
			continue;
		}
		*at = round->next; /* who was asked is so for some seconds: probe_end_due */
		free(round);
	}
}

void reclaim_begin(struct relay *relay, const struct message_reclaim *order)
{
	struct reclaim *round;

	drop_same(relay, order);
	round = collect(relay, order);
	if (!round) {
		say(LOG_ERR, "no memory to ask the holders of a service whether they live");
		return; /* the steward waits for no one for ever */
	}
	round->order = *order;
	round->asked = round->count;
	round->look_every_ms = larger(order->timeout_ms / ASKS, ASK_LEAST_MS);
	round->end_ms = relay->now_ms + order->timeout_ms + larger(order->timeout_ms / LATE_PART, LATE_LEAST_MS);
	round->due_ms = round->look_ms = relay->now_ms;
	round->judge_ms = UINT64_MAX;
	round->next = relay->reclaims;
	relay->reclaims = round;
}

static void end_silent(struct relay *relay, struct session *session, const struct question *question)
{
	struct slot *slot = session_slot(relay, session);
	enum operation operation = question->outstanding ? OPERATION_SEND : OPERATION_RECEIVE;

	if (slot_state(slot) == SLOT_CLOSING)
		operation = OPERATION_CLOSE;
	say(LOG_INFO,
		"session %" PRIx64 " is ended to make room: nothing has come from its client for %" PRIu32 " ms, and %" PRIu32
		" questions were not answered",
		slot->record.id, question->silent_ms, question->asks);
	cause_note(slot, WHO_CLIENT, HOW_DEAD, operation, ETIMEDOUT);
	ending_peer_failed(relay, session, SIDE_CLIENT, operation, ETIMEDOUT);
	session_queue(relay, session);
}

/* False: it is no more of interest. */
static bool look(struct relay *relay, struct reclaim *round, struct holder *holder, uint64_t now_ms)
{
	struct session *session = &relay->sessions[holder->slot];
	struct slot *slot = session_slot(relay, session);
	enum slot_state state;

	if (session->own.id != holder->id || !own_check(relay, session))
		return false;
	state = slot_state(slot);
	if (state == SLOT_FREE || state == SLOT_RELEASING)
		return false;
	if (holder->goes)
		return true;
	/* Its client is gone already. */
	holder->goes = slot->fd[SIDE_CLIENT] < 0 || (state == SLOT_CLOSING && slot->ending[SIDE_CLIENT] == ENDING_NOW);
	if (holder->goes)
		return true;
	switch (question_look(
		&holder->question, &session->silence[SIDE_CLIENT], round->order.timeout_ms, slot->fd[SIDE_CLIENT], now_ms)) {
	case QUESTION_ALIVE:
		if (holder->pressed)
			probe_end(relay, session);
		return false;
	case QUESTION_OPEN:
		if (!holder->question.outstanding) {
			probe_press(relay, session, !holder->pressed);
			holder->pressed = true;
		}
		if (holder->question.due_ms > now_ms && holder->question.due_ms < round->judge_ms)
			round->judge_ms = holder->question.due_ms;
		return true;
	case QUESTION_SILENT:
		round->silent++;
		end_silent(relay, session, &holder->question);
		break;
	case QUESTION_CLOSED:
		break;
	}
	holder->goes = true;
	return true;
}

/* One step of a look. True: the look is over. */
static bool step(struct relay *relay, struct reclaim *round)
{
	uint64_t now_ms = clock_mono_ms();

	if (!round->at_once)
		round->at_once = larger(round->count / (round->look_every_ms / STEP_MS), STEP_LEAST);
	for (uint32_t i = 0; i < round->at_once && round->at < round->count; i++) {
		struct holder *holder = &round->holders[round->at];

		if (look(relay, round, holder, now_ms)) {
			round->at++;
			continue;
		}
		*holder = round->holders[--round->count];
	}
	return round->at >= round->count;
}

/* Those that are still in question; after the end they live, and no one is. */
static uint32_t open_questions(struct relay *relay, struct reclaim *round)
{
	uint32_t left = 0, open = 0;

	for (uint32_t i = 0; i < round->count; i++) {
		struct holder *holder = &round->holders[i];

		if (!holder->goes && relay->now_ms >= round->end_ms) {
			if (holder->pressed)
				probe_end(relay, &relay->sessions[holder->slot]);
			continue;
		}
		open += !holder->goes;
		round->holders[left++] = *holder;
	}
	round->count = left;
	return open;
}

/* False: the channel is full, it is tried again. */
static bool tell(struct relay *relay, const struct reclaim *round)
{
	struct message_reclaimed body = {
		.round = round->order.round, .asked = round->asked, .silent = round->silent, .left = round->count};

	/* Nor before the ends of sessions that are still to be told: who hears that all are gone looks at what they left. */
	return !relay->link.behind && message_send(relay->link.channel, MESSAGE_RECLAIMED, &body, NULL) == 0;
}

/* False: the round is over. */
static bool turn(struct relay *relay, struct reclaim *round)
{
	if (relay->now_ms < round->due_ms)
		return true;
	if (!step(relay, round)) {
		round->due_ms = relay->now_ms + STEP_MS;
		return true;
	}
	round->look_ms += round->look_every_ms;
	if (round->judge_ms < round->look_ms)
		round->look_ms = round->judge_ms;
	if (round->look_ms < relay->now_ms + LOOK_LEAST_MS)
		round->look_ms = relay->now_ms + LOOK_LEAST_MS;
	round->due_ms = round->look_ms;
	round->judge_ms = UINT64_MAX;
	round->at = round->at_once = 0;
	if (round->judged_told || open_questions(relay, round) == 0) {
		/* Now it is for those who go to go, which takes no time as a rule. */
		round->due_ms = relay->now_ms + 2 * STEP_MS;
		if (!round->judged_told || !round->count)
			round->judged_told = tell(relay, round);
		return !round->judged_told || round->count;
	}
	return true;
}

void reclaim_turn(struct relay *relay)
{
	struct reclaim **at = &relay->reclaims;

	while (*at) {
		struct reclaim *round = *at;

		if (turn(relay, round)) {
			at = &round->next;
			continue;
		}
		*at = round->next;
		free(round);
	}
}

int reclaim_wait_ms(const struct relay *relay)
{
	int wait_ms = -1;

	for (const struct reclaim *round = relay->reclaims; round; round = round->next) {
		int ms = round->due_ms > relay->now_ms ? (int)(round->due_ms - relay->now_ms) : 0;

		if (wait_ms < 0 || ms < wait_ms)
			wait_ms = ms;
	}
	return wait_ms;
}
