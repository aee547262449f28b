#include "overlay.h"

#include "base/clock.h"

#include <string.h>
#include <unistd.h>

void overlay_init(struct overlay *o)
{
	memset(o, 0, sizeof *o);
	o->fd = ledger_create(7, OVERLAY_RELAY, 1, OVERLAY_SLOTS, (struct ledger_trial){0});
	FUZZ_MUST(o->fd >= 0 && ledger_map(&o->ledger, o->fd, true) == 0);
}

struct slot *overlay_session(struct overlay *o, uint32_t index, enum slot_state state)
{
	struct ledger_header *header = o->ledger.header;
	struct slot *slot = &o->ledger.slots[index];
	struct session_record *record = &slot->record;

	record->id = (header->id_base + atomic_fetch_add(&header->id_next, 1)) << 6 | OVERLAY_RELAY;
	record->started_us = clock_real_us();
	record->started_ms = record->connected_ms = clock_mono_ms();
	record->service_id = record->backend_id = record->listener_id = record->plan_generation = 1;
	record->client = record->local = record->backend = record->source = (struct endpoint){AF_INET, 1, 0, {127, 0, 0, 1}};
	strcpy(record->service, "plc");
	slot->policy.hooked = 1;
	slot->counted = COUNTED_SERVICE | COUNTED_BACKEND;
	slot->counted_service = slot->counted_backend = 1;
	slot->given_base[SIDE_BACKEND] = 1;
	for (int s = 0; s < SIDES; s++) {
		slot->fd[s] = slot->pipe[s] = -1;
		atomic_store(&slot->moved[s], 1000);
		atomic_store(&slot->moved_ms[s], record->started_ms);
	}
	atomic_store(&slot->sequence, 2);
	atomic_store(&slot->state, state);
	if (atomic_load(&header->high_water) <= index)
		atomic_store(&header->high_water, index + 1);
	return slot;
}

void overlay_is_whole(struct overlay *o)
{
	o->whole = malloc(o->ledger.size);
	FUZZ_MUST(o->whole);
	memcpy(o->whole, o->ledger.header, o->ledger.size);
}

static void restore(struct overlay *o)
{
	char *at = (char *)o->ledger.header;
	size_t used = (size_t)((char *)o->ledger.events - at);

	/* What is under test may write to header and slots; a ring is only changed here. */
	memcpy(at, o->whole, used);
	for (size_t i = 0; i < o->count; i++)
		memcpy(at + o->pieces[i].at, o->whole + o->pieces[i].at, o->pieces[i].size);
	o->count = 0;
}

/* Where: in the header proper, a listener, a pipe, a slot, an event, or anywhere. */
static size_t place(const struct overlay *o, struct fuzz_input *in)
{
	const char *base = (const char *)o->ledger.header;
	unsigned what = (unsigned)fuzz_take(in, 1), which = (unsigned)fuzz_take(in, 1);
	size_t offset = (size_t)fuzz_take(in, 2);

	switch (what % 8) {
	case 0:
		return offset % offsetof(struct ledger_header, listeners);
	case 1:
		return offsetof(struct ledger_header, listeners) + which % 4 * sizeof(struct ledger_listener) +
		       offset % sizeof(struct ledger_listener);
	case 2:
		return offsetof(struct ledger_header, pipes) + which % 4 * sizeof(struct ledger_pipe) +
		       offset % sizeof(struct ledger_pipe);
	case 3:
		return (size_t)((const char *)&o->ledger.events[which % 8] - base) + offset % sizeof(struct ledger_event);
	case 4:
		return (size_t)((const char *)&o->ledger.slots[which % OVERLAY_SLOTS] - base) + offset % sizeof(struct slot);
	case 5:
		return (size_t)((const char *)o->ledger.slots[which % OVERLAY_SESSIONS].fd - base) +
		       offset % (4 * sizeof(int32_t));
	case 6:
		return (size_t)((const char *)&o->ledger.slots[which % OVERLAY_SESSIONS] - base) + offsetof(struct slot, state);
	default:
		return (offset << 8 | which) % o->ledger.size;
	}
}

static void put(struct overlay *o, size_t at, const void *bytes, size_t size)
{
	if (size > o->ledger.size - at)
		size = o->ledger.size - at;
	memcpy((char *)o->ledger.header + at, bytes, size);
	o->pieces[o->count++] = (struct piece){at, size};
}

void overlay_apply(struct overlay *o, struct fuzz_input *in, const int32_t *numbers, size_t count)
{
	restore(o);
	while (in->left && o->count < OVERLAY_PIECES) {
		size_t at = place(o, in);
		unsigned how = (unsigned)fuzz_take(in, 1);
		uint8_t bytes[OVERLAY_PIECE];

		if (how % 4 == 0 && count) {
			put(o, at & ~(size_t)3, &numbers[fuzz_take(in, 1) % count], sizeof *numbers);
			continue;
		}
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = how % 4 == 1 ? (uint8_t)(how & 4 ? 0xff : 0) : (uint8_t)(i <= how >> 3 ? fuzz_take(in, 1) : 0);
		put(o, at, bytes, 1 + (how >> 3) % OVERLAY_PIECE);
	}
}

bool overlay_touched(const struct overlay *o, const volatile void *at, size_t size)
{
	size_t first = (size_t)((const volatile char *)at - (const volatile char *)o->ledger.header);

	for (size_t i = 0; i < o->count; i++)
		if (o->pieces[i].at < first + size && first < o->pieces[i].at + o->pieces[i].size)
			return true;
	return false;
}
