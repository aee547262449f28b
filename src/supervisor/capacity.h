/* What a pair can hold, from the limit on its descriptors. Pure arithmetic. */
#ifndef SUPERVISOR_CAPACITY_H
#define SUPERVISOR_CAPACITY_H
#include <stdint.h>

/* Pipes that a relay with that limit may keep: each takes two descriptors. */
uint32_t capacity_pipes(uint64_t nofile);

/* Sessions that fit below the limit: each takes two descriptors. At least 1, at most LEDGER_SLOTS_MAX. */
uint32_t capacity_slots(uint64_t nofile);

#endif
