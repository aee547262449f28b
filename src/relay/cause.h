/* Why a session ends: the reason in its slot, noted once. */
#ifndef RELAY_CAUSE_H
#define RELAY_CAUSE_H
#include "relay/slot.h"

#include <stdbool.h>

static inline enum who cause_side(enum side s)
{
	return s == SIDE_CLIENT ? WHO_CLIENT : WHO_BACKEND;
}

/* A failure overrules a clean end noted before, nothing overrules a failure. */
void cause_note(struct slot *slot, enum who who, enum how how, enum operation operation, int error);

/* Neither peer ended it. It is not read any further then: its end is ours, at this byte. */
bool cause_is_ours(const struct slot *slot);

/* A peer's failure in words. */
enum how cause_of_error(int error);

#endif
