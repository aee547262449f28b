#include "steward/roster/roster.h"

#include "steward/log/log.h"
#include "steward/roster/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

void roster_init(struct roster *r, uv_loop_t *loop, struct listeners *listeners, const struct roster_host *host, void *context)
{
	memset(r, 0, sizeof *r);
	r->loop = loop;
	r->listeners = listeners;
	r->host = host;
	r->context = context;
	r->plan_fd = -1;
}

void roster_close(struct roster *r)
{
	r->closing = true;
	if (r->open == 0) {
		r->host->on_closed(r->context);
		return;
	}
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i]) {
			pair_close(r->of[i]);
			r->of[i] = NULL;
		}
}

void roster_free(struct roster *r)
{
	assert(r->open == 0);
	plan_unmap(&r->plan);
	if (r->plan_fd >= 0)
		close(r->plan_fd);
	r->plan_fd = -1;
}

/* By the plan in force. Others retire, or are there for a plan that is on its way. */
static bool is_wanted(const struct roster *r, uint32_t relay)
{
	return r->plan.header && relay < r->plan.header->relays;
}

int roster_add(struct roster *r, const struct message_pair *name, int ledger_fd, int channel)
{
	struct pair *p;
	int e;

	if (name->relay >= CENSUS_RELAYS) {
		close(ledger_fd);
		close(channel);
		return -EINVAL;
	}
	/* Said again, as the supervisor may: we have it. */
	if (r->of[name->relay] && r->of[name->relay]->name.incarnation == name->incarnation) {
		close(ledger_fd);
		close(channel);
		return 0;
	}
	if (r->of[name->relay])
		roster_lose(r, &r->of[name->relay]->name);
	e = pair_new(&p, r, name, ledger_fd, channel);
	if (e < 0)
		return e;
	r->of[name->relay] = p;
	if (name->relay >= r->relays)
		r->relays = name->relay + 1;
	listeners_forget(r->listeners, name->relay);
	if (r->started)
		pair_start(p);
	return 0;
}

void roster_lose(struct roster *r, const struct message_pair *name)
{
	struct pair *p = name->relay < r->relays ? r->of[name->relay] : NULL;

	if (!p || p->name.incarnation != name->incarnation)
		return;
	if (!is_wanted(r, name->relay) && roster_sessions_in(r, name->relay) == 0)
		log_line(LOG_NOTICE, "relay %u has retired", name->relay);
	else
		log_line(LOG_ERR, "relay %u and its holder died together: their sessions are lost", name->relay);
	r->of[name->relay] = NULL;
	while (r->relays > 0 && !r->of[r->relays - 1] && !is_wanted(r, r->relays - 1))
		r->relays--;
	pair_end_lost(p);
	pair_close(p);
	r->host->on_progress(r->context);
}

void roster_lose_dead(struct roster *r)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if (r->of[i] && pair_is_dead(r->of[i], uv_now(r->loop)))
			roster_lose(r, &r->of[i]->name);
}

bool roster_has(const struct roster *r, uint64_t pairs)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if ((pairs >> i & 1) && !r->of[i])
			return false;
	return true;
}

void roster_start(struct roster *r)
{
	r->started = true;
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i])
			pair_start(r->of[i]);
}

void roster_push(struct roster *r)
{
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i])
			pair_push(r->of[i]);
}

int roster_set_plan(struct roster *r, int plan_fd, uint32_t generation)
{
	struct plan plan;
	int e = plan_map(&plan, plan_fd);

	if (e < 0)
		return e;
	plan_unmap(&r->plan);
	if (r->plan_fd >= 0)
		close(r->plan_fd);
	r->plan = plan;
	r->plan_fd = plan_fd;
	r->generation = generation;
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i])
			r->of[i]->plan_due = true;
	roster_push(r);
	return 0;
}

bool roster_has_plan(const struct roster *r, uint32_t relay)
{
	return relay < r->relays && r->of[relay] && r->of[relay]->plan_taken == r->generation;
}

bool roster_planned(const struct roster *r)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if ((r->of[i] || is_wanted(r, i)) && !roster_has_plan(r, i))
			return false;
	return r->relays > 0;
}

bool roster_settled(const struct roster *r, uint32_t *ret_failed)
{
	struct ledger_view view;
	bool settled = roster_planned(r);

	*ret_failed = 0;
	roster_view(r, &view);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		uint32_t failed;

		if (!r->of[i] && !is_wanted(r, i))
			continue;
		if (!listeners_settled(r->listeners, &view, i, &failed))
			settled = false;
		*ret_failed += failed;
	}
	return settled;
}

void roster_view(const struct roster *r, struct ledger_view *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->relays = r->relays;
	for (uint32_t i = 0; i < r->relays; i++)
		ret->of[i] = r->of[i] ? &r->of[i]->ledger : NULL;
}

static struct pair *find(const struct roster *r, const struct session_key *key)
{
	struct pair *p = key->relay < r->relays ? r->of[key->relay] : NULL;

	return p && p->name.incarnation == key->incarnation ? p : NULL;
}

void roster_verdict(struct roster *r, const struct session_key *key, const struct message_verdict *verdict)
{
	struct pair *p = find(r, key);
	struct pair_answer answer = {.kind = MESSAGE_VERDICT, .body.verdict = *verdict};

	if (p)
		pair_answer(p, &answer);
}

void roster_durable(struct roster *r, const struct session_key *key)
{
	struct pair *p = find(r, key);
	struct pair_answer answer = {.kind = MESSAGE_END_DURABLE, .body.session = {.id = key->id, .slot = key->slot}};

	if (p)
		pair_answer(p, &answer);
}

void roster_room(struct roster *r, const struct session_key *key)
{
	struct pair *p = find(r, key);
	struct pair_answer answer = {.kind = MESSAGE_ROOM, .body.session = {.id = key->id, .slot = key->slot}};

	if (p)
		pair_answer(p, &answer);
}

bool roster_reclaim(struct roster *r, uint32_t relay, const struct message_reclaim *order)
{
	struct pair_answer answer = {.kind = MESSAGE_RECLAIM, .body.reclaim = *order};

	if (relay >= r->relays || !r->of[relay])
		return false;
	pair_answer(r->of[relay], &answer);
	return true;
}

bool roster_lists_elsewhere(const struct roster *r, const struct slot *slot)
{
	const struct session_key there = {slot->to.relay, slot->to.incarnation, slot->to.slot, slot->record.id};
	const struct pair *taker = atomic_load(&slot->state) == SLOT_GONE ? find(r, &there) : NULL;
	struct slot taken;

	return roster_slot_is_other(slot) && !(taker && ledger_read_slot(&taker->ledger, there.slot, &taken) == 0 &&
						     atomic_load(&taken.state) == SLOT_ARRIVING && taken.record.id == there.id);
}

static bool find_in(const struct roster *r, uint32_t relay, uint64_t id, uint32_t *ret_slot, struct slot *ret)
{
	const struct ledger *ledger = roster_ledger(r, relay);
	struct slot slot;
	int e;

	for (uint32_t i = 0; ledger && (e = ledger_read_slot(ledger, i, &slot)) != -ENOENT; i++) {
		if (e < 0 || slot.record.id != id || atomic_load(&slot.state) == SLOT_FREE || roster_lists_elsewhere(r, &slot))
			continue;
		*ret_slot = i;
		*ret = slot;
		return true;
	}
	return false;
}

int roster_find(const struct roster *r, uint64_t id, uint32_t *ret_relay, uint32_t *ret_slot, struct slot *ret)
{
	uint32_t first = (uint32_t)(id & (CENSUS_RELAYS - 1));

	if (find_in(r, first, id, ret_slot, ret)) {
		*ret_relay = first;
		return 0;
	}
	/* It may have gone to any other; twice, since it may go on while we look. */
	for (uint32_t i = 0; i < 2 * r->relays; i++)
		if (find_in(r, i % r->relays, id, ret_slot, ret)) {
			*ret_relay = i % r->relays;
			return 0;
		}
	return -ENOENT;
}

int roster_kill(struct roster *r, uint64_t id, bool now, const struct reason *reason)
{
	struct pair_answer order = {.kind = MESSAGE_KILL, .body.kill = {.id = id, .now = now, .reason = *reason}};
	uint32_t relay;
	struct slot slot;
	int e = roster_find(r, id, &relay, &order.body.kill.slot, &slot);

	if (e == 0)
		pair_answer(r->of[relay], &order);
	return e;
}

int roster_probe(struct roster *r, uint64_t id)
{
	struct pair_answer order = {.kind = MESSAGE_PROBE, .body.session.id = id};
	uint32_t relay;
	struct slot slot;
	int e = roster_find(r, id, &relay, &order.body.session.slot, &slot);

	if (e == 0)
		pair_answer(r->of[relay], &order);
	return e;
}

void roster_drain(struct roster *r)
{
	r->draining = true;
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i])
			r->of[i]->drain_due = true;
	roster_push(r);
}

void roster_kill_all(struct roster *r, bool now, const struct reason *reason)
{
	r->killing = true;
	r->kill_all = (struct message_kill){.now = now, .reason = *reason};
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i])
			r->of[i]->kill_due = true;
	roster_push(r);
}

static uint64_t live_in(const struct roster *r, uint32_t relay)
{
	const struct ledger *l = r->of[relay] ? &r->of[relay]->ledger : NULL;
	uint32_t high = l ? atomic_load_explicit(&l->header->high_water, memory_order_acquire) : 0;
	uint64_t live = 0;

	for (uint32_t k = 0; k < high && k < l->slot_count; k++)
		live += atomic_load_explicit(&l->slots[k].state, memory_order_relaxed) != SLOT_FREE;
	return live;
}

uint64_t roster_sessions_in(const struct roster *r, uint32_t relay)
{
	const struct ledger *l = roster_ledger(r, relay);
	uint32_t high = l ? atomic_load_explicit(&l->header->high_water, memory_order_acquire) : 0;
	uint64_t sessions = 0;
	struct slot slot;

	for (uint32_t k = 0; k < high && k < l->slot_count; k++) {
		unsigned state = atomic_load_explicit(&l->slots[k].state, memory_order_relaxed);

		if (state == SLOT_GONE || state == SLOT_ARRIVING)
			sessions += ledger_read_slot(l, k, &slot) == 0 && !roster_lists_elsewhere(r, &slot);
		else
			sessions += state != SLOT_FREE;
	}
	return sessions;
}

uint64_t roster_live(const struct roster *r)
{
	uint64_t live = 0;

	for (uint32_t i = 0; i < r->relays; i++)
		live += live_in(r, i);
	return live;
}

bool roster_quiet(const struct roster *r)
{
	for (uint32_t i = 0; i < r->relays; i++) {
		const struct pair *p = r->of[i];

		if (p && atomic_load_explicit(&p->ledger.header->events_made, memory_order_acquire) > p->events_taken)
			return false;
		for (int k = 0; p && k < LEDGER_LISTENERS; k++)
			if (atomic_load_explicit(&p->ledger.header->listeners[k].state, memory_order_acquire) != LISTENER_FREE)
				return false;
	}
	return roster_live(r) == 0;
}

bool roster_lives(const struct roster *r, const struct session_key *key, struct slot *ret)
{
	struct pair *p = find(r, key);
	int e = p ? ledger_read_slot(&p->ledger, key->slot, ret) : -ENOENT;

	/* Half written, by a relay that died in it: if it is that session, the next relay puts it right and tells its end. */
	if ((e < 0 && e != -EAGAIN) || ret->record.id != key->id || atomic_load(&ret->state) == SLOT_FREE)
		return false;
	/* It lives with its taker, of which we hear as soon as its giver is heard. */
	if (atomic_load(&ret->state) == SLOT_GONE)
		return find(r, &(struct session_key){ret->to.relay, ret->to.incarnation, ret->to.slot, key->id});
	return true;
}

void roster_each_live(const struct roster *r,
	void (*visit)(void *visitor, const struct session_key *key, const struct slot *slot), void *visitor)
{
	for (uint32_t i = 0; i < r->relays; i++) {
		const struct pair *p = r->of[i];
		struct slot slot;

		for (uint32_t n = 0; p; n++) {
			int e = ledger_read_slot(&p->ledger, n, &slot);

			if (e == -ENOENT)
				break;
			if (e == 0 && atomic_load(&slot.state) != SLOT_FREE && !roster_slot_is_other(&slot))
				visit(visitor, &(struct session_key){i, p->name.incarnation, n, slot.record.id}, &slot);
		}
	}
}

void roster_tick(struct roster *r)
{
	for (uint32_t i = 0; i < r->relays; i++)
		if (r->of[i]) {
			pair_take_events(r->of[i], LEDGER_EVENTS);
			pair_push(r->of[i]);
		}
}

const struct ledger *roster_ledger(const struct roster *r, uint32_t relay)
{
	return relay < r->relays && r->of[relay] ? &r->of[relay]->ledger : NULL;
}

uint32_t roster_incarnation(const struct roster *r, uint32_t relay)
{
	return relay < r->relays && r->of[relay] ? r->of[relay]->name.incarnation : 0;
}

const char *roster_local_text(const struct roster *r, const struct session_record *record)
{
	return record->local.family == AF_UNIX ? listeners_address(r->listeners, record->listener_id) : NULL;
}

const char *roster_backend_text(const struct roster *r, const struct session_record *record)
{
	const struct plan *plan = &r->plan;

	for (uint32_t i = 0; record->backend.family == AF_UNIX && plan->header && i < plan->header->backend_count; i++)
		if (plan->backends[i].id == record->backend_id)
			return plan->backends[i].address;
	return NULL;
}
