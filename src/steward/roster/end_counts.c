#include "steward/roster/end_counts.h"

#include <stdio.h>

void end_counts_add(struct end_counts *counts, const struct reason *reason)
{
	unsigned who = reason->who < WHO_COUNT ? reason->who : WHO_COUNT, how = reason->how < HOW_COUNT ? reason->how : HOW_COUNT;

	counts->of[who][how]++;
}

void end_counts_each(
	const struct end_counts *counts, void (*visit)(void *visitor, const char *reason, uint64_t count), void *visitor)
{
	for (unsigned who = 0; who <= WHO_COUNT; who++)
		for (unsigned how = 0; how <= HOW_COUNT; how++) {
			char text[END_REASON_TEXT];

			if (!counts->of[who][how])
				continue;
			snprintf(text, sizeof text, "%s.%s", who_word(who), how_word(how));
			visit(visitor, text, counts->of[who][how]);
		}
}
