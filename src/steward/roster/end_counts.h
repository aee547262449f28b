/* How many sessions have ended, and why, since this steward began. A member of the roster; nothing to end. */
#ifndef STEWARD_ROSTER_END_COUNTS_H
#define STEWARD_ROSTER_END_COUNTS_H
#include "wire/reason.h"

enum { END_REASON_TEXT = 48 };

/* The last of each is for numbers that are no word: a relay's claims. */
struct end_counts {
	uint64_t of[WHO_COUNT + 1][HOW_COUNT + 1];
};

void end_counts_add(struct end_counts *counts, const struct reason *reason);

/* Each reason that was seen, as "who.how", in the order of the table. */
void end_counts_each(
	const struct end_counts *counts, void (*visit)(void *visitor, const char *reason, uint64_t count), void *visitor);

#endif
