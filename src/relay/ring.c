#include "relay/ring.h"

#include "relay/kill_point.h"
#include "relay/link.h"

static struct ledger_event *at(const struct relay *relay, uint64_t number)
{
	return &relay->ledger.events[number & (LEDGER_EVENTS - 1)];
}

static uint8_t told_bit(unsigned kind)
{
	return kind == EVENT_ENDED ? TOLD_ENDED : TOLD_CONNECTED;
}

void ring_adopt(struct relay *relay)
{
	uint64_t number = atomic_load_explicit(&relay->header->events_made, memory_order_relaxed);
	const struct ledger_event *last = at(relay, number);
	struct slot *slot;

	if (!number || last->slot >= relay->ledger.slot_count)
		return;
	slot = &relay->ledger.slots[last->slot];
	if (slot_state(slot) != SLOT_FREE && slot->record.id == last->record.id)
		slot->told |= told_bit(last->kind);
}

void ring_put(struct relay *relay, const struct session *session, enum event_kind kind)
{
	struct ledger_header *header = relay->header;
	struct slot *slot = &relay->ledger.slots[session->index];
	uint64_t number = atomic_load_explicit(&header->events_made, memory_order_relaxed) + 1;
	struct ledger_event *event = at(relay, number);

	if (slot->told & told_bit(kind))
		return;
	atomic_store_explicit(&event->sequence, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	event->kind = kind;
	event->slot = session->index;
	event->record = slot->record;
	atomic_store_explicit(&event->sequence, number, memory_order_release);
	kill_point();
	atomic_store_explicit(&header->events_made, number, memory_order_release);
	kill_point();
	slot->told |= told_bit(kind);
	link_ring(relay);
}
