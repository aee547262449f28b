#include "relay/wheel.h"

#include <string.h>

static unsigned bucket_of(uint64_t ms)
{
	return (unsigned)(ms / WHEEL_TICK_MS % WHEEL_BUCKETS);
}

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
	memset(wheel, 0, sizeof *wheel);
	wheel->turned_ms = now_ms;
}

static void insert(struct wheel_entry **at, struct wheel_entry *entry)
{
	entry->next = *at;
	if (entry->next)
		entry->next->link = &entry->next;
	entry->link = at;
	*at = entry;
}

static void unlink_entry(struct wheel_entry *entry)
{
	*entry->link = entry->next;
	if (entry->next)
		entry->next->link = entry->link;
	entry->link = NULL;
}

void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms)
{
	wheel_remove(wheel, entry);
	/* What is due already is called at the next turn, which looks at the ticks after turned_ms. */
	if (due_ms <= wheel->turned_ms)
		due_ms = wheel->turned_ms + 1;
	entry->due_ms = due_ms;
	insert(&wheel->bucket[bucket_of(due_ms)], entry);
	wheel->count++;
}

void wheel_remove(struct wheel *wheel, struct wheel_entry *entry)
{
	if (!entry->link)
		return;
	unlink_entry(entry);
	wheel->count--;
}

void wheel_turn(struct wheel *wheel, uint64_t now_ms, void (*on_due)(void *, struct wheel_entry *), void *context)
{
	uint64_t first = wheel->turned_ms / WHEEL_TICK_MS, last = now_ms / WHEEL_TICK_MS;
	struct wheel_entry *due = NULL, *e, *next;

	if (now_ms < wheel->turned_ms)
		return;
	if (last - first >= WHEEL_BUCKETS)
		last = first + WHEEL_BUCKETS - 1;
	for (uint64_t tick = first; tick <= last; tick++) {
		for (e = wheel->bucket[tick % WHEEL_BUCKETS]; e; e = next) {
			next = e->next;
			if (e->due_ms > now_ms)
				continue;
			unlink_entry(e);
			insert(&due, e);
		}
	}
	wheel->turned_ms = now_ms;
	/* Off the wheel but still linked, so that a callback may remove or set any of the others. */
	while (due) {
		e = due;
		unlink_entry(e);
		wheel->count--;
		on_due(context, e);
	}
}

int wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms)
{
	if (!wheel->count)
		return -1;
	for (unsigned i = 0; i < WHEEL_BUCKETS; i++) {
		uint64_t tick = wheel->turned_ms / WHEEL_TICK_MS + i;
		uint64_t end_ms = (tick + 1) * WHEEL_TICK_MS;

		if (wheel->bucket[tick % WHEEL_BUCKETS])
			return end_ms > now_ms ? (int)(end_ms - now_ms) : 0;
	}
	return WHEEL_BUCKETS * WHEEL_TICK_MS;
}
