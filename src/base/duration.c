#include "base/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

enum { UNITS = sizeof units / sizeof *units };

int duration_parse(const char *text, uint64_t *ret_ms)
{
	uint64_t number = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
			return -ERANGE;
	if (p == text)
		return -EINVAL;
	if (*p == '\0')
		return -EDOM;
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(p, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].ms, &number))
			return -ERANGE;
		*ret_ms = number;
		return 0;
	}
	return -EINVAL;
}

void duration_format(uint64_t ms, char text[DURATION_TEXT])
{
	if (ms == 0) {
		snprintf(text, DURATION_TEXT, "0s");
		return;
	}
	for (size_t i = 0; i < UNITS; i++) {
		/* The largest unit that divides it gives the shortest exact text; "ms" divides all. */
		if (ms % units[i].ms)
			continue;
		snprintf(text, DURATION_TEXT, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
		return;
	}
}
