/* Writing a slot so that a reader in another process sees a record whole or not at all. */
#ifndef RELAY_SLOT_H
#define RELAY_SLOT_H
#include "wire/ledger.h"

/* Between the two, the record may change. A relay that dies in between leaves the sequence odd; adoption makes that of a living session
 * even. A slot that was free then is written anew from odd on: it must not come out as even while it is written. */
static inline void slot_write_begin(struct slot *slot)
{
	uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);

	atomic_store_explicit(&slot->sequence, (sequence + 1) | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void slot_write_end(struct slot *slot)
{
	uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);

	atomic_store_explicit(&slot->sequence, sequence + 1, memory_order_release);
}

static inline enum slot_state slot_state(const struct slot *slot)
{
	return (enum slot_state)atomic_load_explicit(&slot->state, memory_order_relaxed);
}

/* Everything written before is seen by whoever sees the new state. */
static inline void slot_set_state(struct slot *slot, enum slot_state state)
{
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* One writer: no locked instruction is needed. No bytes: an end of stream was passed on. */
static inline void slot_moved(struct slot *slot, enum side from, uint64_t bytes, uint64_t now_ms)
{
	uint64_t n = atomic_load_explicit(&slot->moved[from], memory_order_relaxed);

	atomic_store_explicit(&slot->moved[from], n + bytes, memory_order_relaxed);
	atomic_store_explicit(&slot->moved_ms[from], now_ms, memory_order_relaxed);
}

#endif
