#include "relay/ring.h"

#include "relay/kill_point.h"
#include "relay/link.h"

static struct ledger_event *at(const struct relay *relay, uint64_t number)
{
	return &relay->ledger.events[number & (LEDGER_EVENTS - 1)];
}

void ring_adopt(struct relay *relay)
{
	uint64_t number = atomic_load_explicit(&relay->header->events_made, memory_order_relaxed);

	if (!number)
		return;
	relay->said_id = at(relay, number)->record.id;
	relay->said_kind = at(relay, number)->kind;
}

void ring_put(struct relay *relay, const struct session *session, enum event_kind kind)
{
	struct ledger_header *header = relay->header;
	const struct session_record *record = &relay->ledger.slots[session->index].record;
	uint64_t number = atomic_load_explicit(&header->events_made, memory_order_relaxed) + 1;
	struct ledger_event *event = at(relay, number);

	if (relay->said_id == record->id && relay->said_kind == (uint32_t)kind)
		return;
	if (number - atomic_load_explicit(&header->events_taken, memory_order_relaxed) > LEDGER_EVENTS)
		atomic_fetch_add_explicit(&header->events_lost, 1, memory_order_relaxed);
	atomic_store_explicit(&event->sequence, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	event->kind = kind;
	event->slot = session->index;
	event->record = *record;
	atomic_store_explicit(&event->sequence, number, memory_order_release);
	kill_point();
	atomic_store_explicit(&header->events_made, number, memory_order_release);
	kill_point();
	link_ring(relay);
}
