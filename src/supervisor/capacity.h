/* What a pair can hold, from the limit on its descriptors. */
#ifndef SUPERVISOR_CAPACITY_H
#define SUPERVISOR_CAPACITY_H
#include <stdint.h>

/* Pipes that a relay with that limit may keep: each takes two descriptors. */
uint32_t capacity_pipes(uint64_t nofile);

/* Sessions that fit below the limit: each takes two descriptors. At least 1, at most LEDGER_SLOTS_MAX. */
uint32_t capacity_slots(uint64_t nofile);

/* The hard limit of this process, which is what relays raise theirs to. */
uint64_t capacity_limit(void);

/* Descriptors that this process can still open. */
uint64_t capacity_left(void);

/* Raises the soft limit of this process to `wanted`, or as far as it may. */
void capacity_raise(uint64_t wanted);

#endif
