/* Whether what stands in a slot can be right. A relay trusts nothing that its predecessor, or whoever wrote to wrong memory, left in the
 * ledger: a slot that cannot be right is dropped by itself when it starts (relay/verify.h), and its session ended by itself while it
 * runs (relay/own.h), and no other session with it. */
#ifndef WIRE_SLOT_CHECK_H
#define WIRE_SLOT_CHECK_H
#include "wire/ledger.h"

/* What is the matter with a slot that is not free, in words, or NULL: numbers are within what they index, enums are enums of ours, and the
 * session is one of this relay. Whether its descriptors are its own, only the kernel knows. relay: the index of its pair; now_ms: CLOCK_MONOTONIC. */
const char *slot_wrong(const struct slot *slot, uint32_t relay, uint64_t now_ms);

#endif
