#include "relay/ring.h"

#include "relay/kill_point.h"
#include "relay/link.h"
#include "wire/say.h"

#include <sys/syslog.h>

static struct ledger_event *at(const struct relay *relay, uint64_t number)
{
	return &relay->ledger.events[number & (LEDGER_EVENTS - 1)];
}

static uint8_t told_bit(unsigned kind)
{
	return kind == EVENT_ENDED ? TOLD_ENDED : TOLD_CONNECTED;
}

/* The newest event that is whole. */
static uint64_t find_newest(const struct relay *relay)
{
	uint64_t newest = 0;

	for (uint64_t i = 0; i < LEDGER_EVENTS; i++) {
		uint64_t number = atomic_load_explicit(&at(relay, i)->sequence, memory_order_relaxed);

		if (at(relay, number) == at(relay, i) && number > newest)
			newest = number;
	}
	return newest;
}

void ring_adopt(struct relay *relay)
{
	uint64_t number = atomic_load_explicit(&relay->header->events_made, memory_order_relaxed);
	const struct ledger_event *last = at(relay, number);
	struct slot *slot;

	/* An event that is counted is whole. */
	if (number && atomic_load_explicit(&last->sequence, memory_order_relaxed) != number) {
		say(LOG_CRIT,
			"the count of events in the ledger cannot be right; it goes on from the newest event that is whole");
		number = find_newest(relay);
		last = at(relay, number);
		atomic_store_explicit(&relay->header->events_made, number, memory_order_relaxed);
	}

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
