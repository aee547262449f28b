/* What a relay asks, checked against its ledger. A number out of range or a claim against its own slot is a violation; a slot
 * that has moved on is not: messages wait in a queue, and may be said twice. */
#include "steward/roster/pair.h"

#include "steward/log/log.h"
#include "steward/roster/client_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum { ID_RELAY_BITS = 6 };
static_assert(CENSUS_RELAYS == 1 << ID_RELAY_BITS, "a session's id names its relay");

static struct session_key key_of(const struct pair *p, uint64_t id, uint32_t slot)
{
	return (struct session_key){.relay = p->name.relay, .incarnation = p->name.incarnation, .slot = slot, .id = id};
}

/* 1: the slot holds that session, copied to *ret; 0: not now; -1: no such slot can be. */
static int claimed_slot(const struct pair *p, const struct message_session *claim, struct slot *ret)
{
	int r;

	if (claim->slot >= p->ledger.slot_count || (claim->id & (CENSUS_RELAYS - 1)) != p->name.relay)
		return -1;
	r = ledger_read_slot(&p->ledger, claim->slot, ret);
	if (r == -ENOENT)
		return -1;
	/* Being written: its relay died in that, and will ask again when it has put it right. */
	return r == 0 && ret->record.id == claim->id;
}

static void refuse(struct pair *p, const struct session_key *key, struct reason reason)
{
	struct message_verdict verdict = {.id = key->id, .slot = key->slot, .verdict = VERDICT_REFUSE, .reason = reason};

	roster_verdict(p->roster, key, &verdict);
}

/* A relay says that a session is over before another has its slot, unless it is not one of ours any more, or its ledger was
 * damaged. */
static void note_asked(struct pair *p, const struct session_key *key)
{
	uint64_t *asked = &p->asked[key->slot];
	struct session_key former = key_of(p, *asked, key->slot);

	if (*asked && *asked != key->id)
		p->roster->host->on_missed(p->roster->context, &former);
	*asked = key->id;
}

static bool handle_acquire(struct pair *p, const struct message_session *claim, int client)
{
	struct session_key key = key_of(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, &slot);

	if (r < 0)
		return false;
	if (r == 0 || atomic_load(&slot.state) != SLOT_ACQUIRING)
		return true;
	r = client_socket_name(client, &slot.record.client, &slot.record.local);
	if (r == -EPROTOTYPE)
		return false;
	if (r < 0) {
		refuse(p, &key,
			(struct reason){.who = WHO_CLIENT,
				.how = HOW_RESET,
				.operation = OPERATION_ACCEPT,
				.state = SLOT_ACQUIRING,
				.error = ECONNRESET});
		return true;
	}
	note_asked(p, &key);
	p->roster->host->on_acquire(p->roster->context, &key, &slot.record);
	return true;
}

static bool handle_full(struct pair *p, const struct message_session *claim)
{
	struct session_key key = key_of(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, &slot);

	if (r < 0)
		return false;
	if (r > 0 && atomic_load(&slot.state) == SLOT_WAITING)
		p->roster->host->on_full(p->roster->context, &key, &slot);
	return true;
}

/* Of a round that is over, or of a predecessor's, it is no more than late. */
static bool handle_reclaimed(struct pair *p, const struct message_reclaimed *reclaimed)
{
	if (reclaimed->asked > p->ledger.slot_count || reclaimed->left > reclaimed->asked || reclaimed->silent > reclaimed->asked)
		return false;
	p->roster->host->on_reclaimed(p->roster->context, p->name.relay, reclaimed);
	return true;
}

static bool handle_ended(struct pair *p, const struct message_session *claim)
{
	struct session_key key = key_of(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, &slot);

	if (r < 0)
		return false;
	if (r == 0 || atomic_load(&slot.state) == SLOT_FREE)
		return true;
	if (atomic_load(&slot.state) != SLOT_RELEASING)
		return false;
	if (p->asked[claim->slot] == claim->id)
		p->asked[claim->slot] = 0;
	p->roster->host->on_ended(p->roster->context, &key, &slot.record, false);
	return true;
}

static void handle_hello(struct pair *p, const struct message_hello *hello)
{
	log_line(LOG_INFO, "relay %u runs (start %" PRIu32 " of it)", p->name.relay, hello->starts);
	p->plan_taken = hello->generation;
	p->plan_due = hello->generation != p->roster->generation;
	p->drain_due = p->roster->draining;
	p->kill_due = p->roster->killing;
	listeners_forget(p->roster->listeners, p->name.relay);
	p->roster->host->on_progress(p->roster->context);
	p->roster->host->on_relay_began(p->roster->context, p->name.relay);
}

/* Which backend, in words that the resolver knows: its id is only ours and the relay's. */
static bool handle_resolve(struct pair *p, const struct message_session *claim)
{
	const struct plan *plan = &p->roster->plan;

	for (uint32_t i = 0; plan->header && i < plan->header->backend_count; i++)
		if (plan->backends[i].id == claim->backend_id)
			p->roster->host->on_resolve(p->roster->context, plan->backends[i].address);
	return true;
}

bool pair_handle(struct pair *p, struct message *m)
{
	switch ((enum message_kind)m->header.kind) {
	case MESSAGE_RELAY_HELLO:
		handle_hello(p, &m->body.hello);
		return true;
	case MESSAGE_PLAN_TAKEN:
		p->plan_taken = m->body.generation.generation;
		p->roster->host->on_progress(p->roster->context);
		return true;
	case MESSAGE_LISTENING:
		listeners_answered(p->roster->listeners, p->name.relay, m->body.listening.id, m->body.listening.error);
		p->roster->host->on_progress(p->roster->context);
		return true;
	case MESSAGE_ACQUIRE:
		return handle_acquire(p, &m->body.session, m->fds[0]);
	case MESSAGE_ENDED:
		return handle_ended(p, &m->body.session);
	case MESSAGE_EVENTS:
		return true; /* they are taken after every turn of hearing */
	case MESSAGE_RESOLVE:
		return handle_resolve(p, &m->body.session);
	case MESSAGE_FULL:
		return handle_full(p, &m->body.session);
	case MESSAGE_RECLAIMED:
		return handle_reclaimed(p, &m->body.reclaimed);
	case MESSAGE_NONE:
	case MESSAGE_SETTINGS:
	case MESSAGE_ACCEPTED:
	case MESSAGE_READY:
	case MESSAGE_RELOADED:
	case MESSAGE_RELOADING:
	case MESSAGE_STATUS:
	case MESSAGE_REPLACE:
	case MESSAGE_STOPPED:
	case MESSAGE_UPGRADE:
	case MESSAGE_BEGIN:
	case MESSAGE_RESUME:
	case MESSAGE_INHERITED:
	case MESSAGE_PAIR:
	case MESSAGE_PAIR_LOST:
	case MESSAGE_RELOAD:
	case MESSAGE_STOP:
	case MESSAGE_UPGRADE_STATE:
	case MESSAGE_SUPERVISOR:
	case MESSAGE_HOLDER:
	case MESSAGE_RELAY:
	case MESSAGE_HAND_OVER:
	case MESSAGE_STEWARD_HELLO:
	case MESSAGE_PLAN:
	case MESSAGE_LISTEN:
	case MESSAGE_UNLISTEN:
	case MESSAGE_VERDICT:
	case MESSAGE_END_DURABLE:
	case MESSAGE_EVENTS_TAKEN:
	case MESSAGE_KILL:
	case MESSAGE_KILL_ALL:
	case MESSAGE_PROBE:
	case MESSAGE_RECLAIM:
	case MESSAGE_ROOM:
	case MESSAGE_DRAIN:
	case MESSAGE_KINDS:
		break;
	}
	return false;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

/* The sessions whose end stands in the ring, sorted. */
static size_t ended_ids(const struct pair *p, uint64_t ret[LEDGER_EVENTS])
{
	uint64_t made = atomic_load_explicit(&p->ledger.header->events_made, memory_order_acquire);
	size_t count = 0;

	/* Downwards, as many as there can be: a count that is a lie may be the highest of all numbers. */
	for (uint64_t i = 0; i < LEDGER_EVENTS && i < made; i++) {
		struct ledger_event e;

		if (ledger_read_event(&p->ledger, made - i, &e) == 0 && e.kind == EVENT_ENDED)
			ret[count++] = e.record.id;
	}
	qsort(ret, count, sizeof *ret, compare_ids);
	return count;
}

void pair_end_lost(struct pair *p)
{
	static uint64_t ids[LEDGER_EVENTS]; /* 32 KiB: the loop's thread is the only user */
	size_t id_count;
	struct slot slot;

	pair_take_events(p, LEDGER_EVENTS); /* all that there can be */
	id_count = ended_ids(p, ids);
	for (uint32_t i = 0;; i++) {
		struct session_key key;
		struct ledger_event e = {.kind = EVENT_ENDED, .slot = i};
		unsigned state;
		int r = ledger_read_slot(&p->ledger, i, &slot);

		if (r == -ENOENT)
			return;
		state = atomic_load(&slot.state);
		/* No one writes it any more, so what is half written is all that will ever be known of it. What is no session of
		 * that relay is none. */
		if (state == SLOT_FREE || (slot.record.id & (CENSUS_RELAYS - 1)) != p->name.relay)
			continue;
		slot.record.service[SERVICE_NAME_SIZE - 1] = '\0';
		e.record = slot.record;
		for (int side = 0; side < SIDES; side++) {
			uint64_t moved = atomic_load(&slot.moved[side]);

			if (moved > e.record.bytes[side])
				e.record.bytes[side] = moved;
		}
		if (e.record.reason.who == WHO_NONE)
			e.record.reason = (struct reason){.who = WHO_SYSTEM, .how = HOW_LOST, .state = (uint8_t)state};
		if (e.record.ended_ms == 0)
			e.record.ended_ms = uv_now(p->roster->loop);
		key = key_of(p, e.record.id, i);
		if (slot.policy.hooked && state != SLOT_REFUSING && state != SLOT_WAITING)
			p->roster->host->on_ended(p->roster->context, &key, &e.record, state != SLOT_RELEASING);
		if (!bsearch(&e.record.id, ids, id_count, sizeof ids[0], compare_ids))
			pair_tell_event(p, &e);
	}
}
