/* The end of a pair whose descriptor table is gone: how it is seen where nobody tells, and what becomes of its sessions. */
#include "steward/roster/pair.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { OWNERLESS_MS = 5000 /* a holder that lives starts another relay at once */ };

/* Its owner is a claim: who names another process that lives is no worse off than one that lives itself. */
static bool owner_lives(const struct pair *p)
{
	pid_t pid = ledger_owner_pid(atomic_load_explicit(&p->ledger.header->owner, memory_order_relaxed));

	return pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH);
}

bool pair_is_dead(struct pair *p, uint64_t now_ms)
{
	if (p->deaf || owner_lives(p)) {
		p->ownerless_ms = 0;
		return p->deaf;
	}
	if (!p->ownerless_ms)
		p->ownerless_ms = now_ms;
	return now_ms - p->ownerless_ms > OWNERLESS_MS;
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
		if (state == SLOT_FREE || (!slot_is_own(&slot, p->name.relay) && !slot.from.offer) ||
			pair_lists_for_other(p, i, &slot))
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
		key = pair_key(p, e.record.id, i);
		if (slot.policy.hooked && state != SLOT_REFUSING && state != SLOT_WAITING)
			p->roster->host->on_ended(p->roster->context, &key, &e.record, state != SLOT_RELEASING);
		if (!bsearch(&e.record.id, ids, id_count, sizeof ids[0], compare_ids))
			pair_tell_event(p, &e);
	}
}
