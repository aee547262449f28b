#include "steward/roster/pair.h"

#include "steward/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum {
	MESSAGES_A_TURN = 64,
	EVENTS_A_TURN = 256,
	ANSWERS_MAX = 8192, /* that many unread answers: we stop listening until some are taken */
};

static const message_set from_relay = (message_set)1 << MESSAGE_RELAY_HELLO | (message_set)1 << MESSAGE_PLAN_TAKEN |
				      (message_set)1 << MESSAGE_LISTENING | (message_set)1 << MESSAGE_ACQUIRE |
				      (message_set)1 << MESSAGE_ENDED | (message_set)1 << MESSAGE_EVENTS |
				      (message_set)1 << MESSAGE_RESOLVE | (message_set)1 << MESSAGE_FULL |
				      (message_set)1 << MESSAGE_RECLAIMED | (message_set)1 << MESSAGE_LENT |
				      (message_set)1 << MESSAGE_MOVED;

static void on_readiness(uv_poll_t *poll, int status, int events);

static void on_handle_closed(uv_handle_t *handle)
{
	struct pair *p = handle->data;
	struct roster *roster = p->roster;

	if (--p->handles > 0)
		return;
	close(p->channel);
	ledger_unmap(&p->ledger);
	free(p->answers);
	free(p->asked);
	free(p);
	if (--roster->open == 0 && roster->closing)
		roster->host->on_closed(roster->context);
}

int pair_new(struct pair **ret, struct roster *roster, const struct message_pair *name, int ledger_fd, int channel)
{
	struct pair *p = calloc(1, sizeof *p);
	int r = p ? ledger_map(&p->ledger, ledger_fd, false) : -ENOMEM;

	close(ledger_fd);
	if (r < 0) {
		close(channel);
		free(p);
		return r;
	}
	p->asked = calloc(p->ledger.slot_count, sizeof *p->asked);
	if (!p->asked) {
		close(channel);
		ledger_unmap(&p->ledger);
		free(p);
		return -ENOMEM;
	}
	p->roster = roster;
	p->name = *name;
	p->channel = channel;
	p->events_taken = p->events_told = atomic_load_explicit(&p->ledger.header->events_taken, memory_order_acquire);
	r = uv_poll_init(roster->loop, &p->poll, channel);
	if (r < 0) {
		close(channel);
		ledger_unmap(&p->ledger);
		free(p->asked);
		free(p);
		return r;
	}
	uv_idle_init(roster->loop, &p->more);
	p->poll.data = p->more.data = p;
	p->handles = 2;
	roster->open++;
	*ret = p;
	return 0;
}

void pair_close(struct pair *p)
{
	if (p->closing)
		return;
	p->closing = true;
	uv_close((uv_handle_t *)&p->poll, on_handle_closed);
	uv_close((uv_handle_t *)&p->more, on_handle_closed);
}

static void watch(struct pair *p, bool writable)
{
	int events = (writable ? UV_WRITABLE : 0) | (p->answer_count < ANSWERS_MAX ? UV_READABLE : 0);

	/* Changing what is watched costs system calls, so only when it changes. */
	if (p->closing || p->deaf || !p->roster->started || events == p->watched)
		return;
	p->watched = events;
	if (events)
		uv_poll_start(&p->poll, events, on_readiness);
	else
		uv_poll_stop(&p->poll);
}

void pair_start(struct pair *p)
{
	/* What waits was said to a predecessor; the relay says it again when greeted. */
	message_drain(p->channel);
	p->hello_due = true;
	p->plan_due = p->roster->plan_fd >= 0;
	p->drain_due = p->roster->draining;
	p->kill_due = p->roster->killing;
	pair_push(p);
}

static bool behind(int r)
{
	return r == -EAGAIN || r == -ENOBUFS || r == -ETOOMANYREFS;
}

/* 0: said; -EAGAIN: the relay is behind. -EPIPE: the pair is gone, and the supervisor is about to say so. Any other failure means that
 * the channel is of no use: the supervisor, who keeps its other end, replaces the pair, so nothing is done about it here but to say
 * so once. */
static int say(struct pair *p, enum message_kind kind, const void *body, const int *fds)
{
	int r = message_send(p->channel, kind, body, fds);

	if (r == -EPIPE)
		return 0;
	if (r < 0 && !behind(r)) {
		log_line(LOG_ERR, "relay %u: %s cannot be said: %s", p->name.relay, message_name(kind), strerror(-r));
		return 0;
	}
	return r < 0 ? -EAGAIN : 0;
}

static int say_order(struct pair *p, const struct listener_order *order)
{
	struct message_listen listen = {.id = order->which.id,
		.place = order->which.place,
		.generation = p->roster->generation,
		.shared = order->shared};

	switch (order->step) {
	case LISTENER_OPEN:
		memcpy(listen.address, order->address, sizeof listen.address);
		return say(p, MESSAGE_LISTEN, &listen, &order->fd);
	case LISTENER_SHUT:
		return say(p, MESSAGE_UNLISTEN, &order->which, NULL);
	case LISTENER_LEND:
		return say(p, MESSAGE_LEND, &order->which, NULL);
	case LISTENER_NOTHING:
		break;
	}
	return 0;
}

/* Open, lend or shut listeners, as listeners.h has them to be. */
static int say_listeners(struct pair *p, enum listener_step step)
{
	struct ledger_view view;
	struct listener_order order;
	int r;

	roster_view(p->roster, &view);
	for (;;) {
		listeners_next(p->roster->listeners, &view, p->name.relay, step, &order);
		if (order.step == LISTENER_NOTHING)
			return 0;
		r = say_order(p, &order);
		if (r < 0)
			return r;
		listeners_told(p->roster->listeners, p->name.relay, &order);
	}
}

static int say_plan(struct pair *p)
{
	struct message_generation g = {p->roster->generation};
	int r;

	if (p->hello_due) {
		r = say(p, MESSAGE_STEWARD_HELLO, &g, NULL);
		if (r < 0)
			return r;
		p->hello_due = false;
	}
	if (!p->plan_due || p->roster->plan_fd < 0)
		return 0;
	/* What waits in the queue of a removed address is taken in under the plan that still knows its service. */
	r = say_listeners(p, LISTENER_SHUT);
	if (r == 0)
		r = say(p, MESSAGE_PLAN, &g, &p->roster->plan_fd);
	if (r < 0)
		return r;
	p->plan_due = false;
	return 0;
}

/* A new listener belongs to a plan: it goes out when that is in force there. */
static int say_new_listeners(struct pair *p)
{
	int r;

	if (p->roster->draining || p->plan_taken == 0 || p->plan_taken != p->roster->generation)
		return 0;
	/* What it should have shut before it took the plan: that was lost, or its number in the ledger is another by now. */
	r = say_listeners(p, LISTENER_SHUT);
	if (r == 0)
		r = say_listeners(p, LISTENER_LEND);
	return r < 0 ? r : say_listeners(p, LISTENER_OPEN);
}

static int say_rest(struct pair *p)
{
	int r;

	if (p->drain_due) {
		r = say(p, MESSAGE_DRAIN, NULL, NULL);
		if (r < 0)
			return r;
		p->drain_due = false;
	}
	if (p->kill_due) {
		r = say(p, MESSAGE_KILL_ALL, &p->roster->kill_all, NULL);
		if (r < 0)
			return r;
		p->kill_due = false;
	}
	if (p->events_told != p->events_taken) {
		struct message_taken taken = {p->events_taken};

		r = say(p, MESSAGE_EVENTS_TAKEN, &taken, NULL);
		if (r < 0)
			return r;
		p->events_told = p->events_taken;
	}
	while (p->answer_count > 0) {
		const struct pair_answer *a = &p->answers[p->answer_first];

		r = say(p, a->kind, &a->body, NULL);
		if (r < 0)
			return r;
		p->answer_first = (p->answer_first + 1) % p->answer_size;
		p->answer_count--;
	}
	return 0;
}

void pair_push(struct pair *p)
{
	int r;

	if (p->closing || p->deaf || !p->roster->started)
		return;
	r = say_plan(p);
	if (r == 0)
		r = say_new_listeners(p);
	if (r == 0)
		r = say_rest(p);
	watch(p, r < 0);
}

void pair_answer(struct pair *p, const struct pair_answer *answer)
{
	if (p->answer_count == p->answer_size) {
		size_t size = p->answer_size ? 2 * p->answer_size : 64;
		struct pair_answer *larger = calloc(size, sizeof *larger);

		/* Not answered for want of memory: the relay asks again after the next greeting, from either side. */
		if (!larger) {
			log_line(LOG_ERR, "relay %u: no memory for an answer to it", p->name.relay);
			p->hello_due = true;
			return;
		}
		for (size_t i = 0; i < p->answer_count; i++)
			larger[i] = p->answers[(p->answer_first + i) % p->answer_size];
		free(p->answers);
		p->answers = larger;
		p->answer_size = size;
		p->answer_first = 0;
	}
	p->answers[(p->answer_first + p->answer_count) % p->answer_size] = *answer;
	p->answer_count++;
	pair_push(p);
}

static void on_more(uv_idle_t *idle)
{
	struct pair *p = idle->data;

	if (!pair_take_events(p, EVENTS_A_TURN))
		uv_idle_stop(idle);
	pair_push(p);
}

static void tell_connected(struct pair *p, uint32_t slot, const struct session_record *record)
{
	const struct session_key key = {p->name.relay, p->name.incarnation, slot, record->id};

	p->roster->host->on_connected(p->roster->context, &key, record);
}

/* The events that were lost may have said so of any. */
static void tell_all_connected(struct pair *p)
{
	struct slot slot;
	int r;

	for (uint32_t i = 0; (r = ledger_read_slot(&p->ledger, i, &slot)) != -ENOENT; i++)
		if (r == 0 && slot.record.fence && slot.record.connected_ms && slot_is_connected(&slot))
			tell_connected(p, i, &slot.record);
}

void pair_tell_event(struct pair *p, const struct ledger_event *e)
{
	if (e->kind != EVENT_CONNECTED && e->kind != EVENT_ENDED)
		return;
	if (e->kind == EVENT_ENDED)
		end_counts_add(&p->roster->ends, &e->record.reason);
	else if (e->record.fence)
		tell_connected(p, e->slot, &e->record);
	log_session_event(e, roster_local_text(p->roster, &e->record), roster_backend_text(p->roster, &e->record));
}

bool pair_take_events(struct pair *p, uint64_t most)
{
	uint64_t made = atomic_load_explicit(&p->ledger.header->events_made, memory_order_acquire);
	uint64_t lost = 0;

	/* Both numbers are the relay's: what lies before its ring, or in the future, is not there. */
	if (made < p->events_taken)
		p->events_taken = p->events_told = made;
	if (made - p->events_taken > LEDGER_EVENTS) {
		lost = made - p->events_taken - LEDGER_EVENTS;
		p->events_taken = made - LEDGER_EVENTS;
	}
	for (uint64_t n = 0; n < most && p->events_taken < made; n++) {
		struct ledger_event e;

		/* An event that was counted is whole, so what cannot be read is being overwritten. */
		if (ledger_read_event(&p->ledger, p->events_taken + 1, &e) == 0)
			pair_tell_event(p, &e);
		else
			lost++;
		p->events_taken++;
	}
	if (lost > 0) {
		p->roster->events_lost += lost;
		tell_all_connected(p);
		log_line(LOG_WARNING,
			"relay %u: %" PRIu64 " session starts and ends came faster than they could be logged and were lost",
			p->name.relay, lost);
	}
	return p->events_taken < made;
}

static void violated(struct pair *p, unsigned kind)
{
	log_line(LOG_ERR, "relay %u said what it may not (%s): it is replaced, its sessions go on", p->name.relay,
		message_name(kind));
	p->violated = true;
	p->roster->host->on_violation(p->roster->context, &p->name);
}

static void hear(struct pair *p)
{
	for (int i = 0; i < MESSAGES_A_TURN && !p->closing && p->answer_count < ANSWERS_MAX; i++) {
		struct message message;
		int r = message_receive(p->channel, &message, from_relay);

		if (r == 0)
			return;
		if (r == -EBADMSG) {
			if (!p->violated)
				violated(p, message.header.kind);
			continue;
		}
		if (r < 0) {
			/* The supervisor has closed its ends: it is gone, or this pair is. */
			uv_poll_stop(&p->poll);
			p->watched = 0;
			p->deaf = true;
			return;
		}
		/* A successor's hello is the end of what its predecessor said wrongly. */
		if (message.header.kind == MESSAGE_RELAY_HELLO)
			p->violated = false;
		if (!p->violated && !pair_handle(p, &message))
			violated(p, message.header.kind);
		message_close_fds(&message);
	}
}

static void on_readiness(uv_poll_t *poll, int status, int events)
{
	struct pair *p = poll->data;

	if (p->closing)
		return;
	if (status < 0 || (events & UV_READABLE))
		hear(p);
	if (!p->closing && pair_take_events(p, EVENTS_A_TURN))
		uv_idle_start(&p->more, on_more);
	pair_push(p);
}
