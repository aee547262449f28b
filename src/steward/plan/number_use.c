#include "steward/plan/number_use.h"

#include <errno.h>
#include <string.h>

/* Numbers in a ledger are claims: what is none of ours is nobody's. */
static void mark(struct number_use *use, uint32_t service, uint32_t backend)
{
	if (service < CENSUS_SERVICES)
		use->service[service] = true;
	if (backend < CENSUS_BACKENDS)
		use->backend[backend] = true;
}

static int collect_slots(struct number_use *use, const struct ledger *ledger)
{
	struct slot slot;
	int r = 0;

	for (uint32_t i = 0;; i++) {
		int e = ledger_read_slot(ledger, i, &slot);

		if (e == -ENOENT)
			return r;
		if (e < 0)
			r = e;
		else if (atomic_load(&slot.state) != SLOT_FREE) {
			mark(use, slot.record.service_id, slot.record.backend_id);
			mark(use, slot.counted_service, slot.counted_backend);
		}
	}
}

static int collect_events(struct number_use *use, const struct ledger *ledger)
{
	uint64_t made = atomic_load_explicit(&ledger->header->events_made, memory_order_acquire);
	uint64_t number = atomic_load_explicit(&ledger->header->events_taken, memory_order_acquire);
	struct ledger_event event;
	int r = 0;

	if (made > LEDGER_EVENTS && number < made - LEDGER_EVENTS)
		number = made - LEDGER_EVENTS;
	while (number < made) {
		int e = ledger_read_event(ledger, ++number, &event);

		if (e == 0)
			mark(use, event.record.service_id, event.record.backend_id);
		else if (e != -ESTALE)
			r = e;
	}
	return r;
}

int number_use_collect(struct number_use *ret, const struct ledger_view *view, const struct census *census)
{
	int r = 0;

	memset(ret, 0, sizeof *ret);
	for (uint32_t i = 0; i < view->relays; i++) {
		int slots = view->of[i] ? collect_slots(ret, view->of[i]) : 0,
		    events = view->of[i] ? collect_events(ret, view->of[i]) : 0;

		if (slots < 0 || events < 0)
			r = -EAGAIN;
	}
	for (uint32_t i = 0; i < CENSUS_SERVICES; i++)
		ret->service[i] |= census_service_total(census, i) > 0;
	for (uint32_t i = 0; i < CENSUS_BACKENDS; i++)
		ret->backend[i] |= census_backend_total(census, i) > 0;
	return r;
}

bool number_use_has(void *context, enum plan_id_kind kind, uint32_t id)
{
	const struct number_use *use = context;

	switch (kind) {
	case PLAN_ID_SERVICE:
		return use->service[id];
	case PLAN_ID_BACKEND:
		return use->backend[id];
	}
	return true;
}
