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

static uint64_t round_up(uint64_t number, uint64_t step)
{
	return number / step + (number % step > 0);
}

void duration_say(uint64_t ms, char text[DURATION_TEXT])
{
	static const struct {
		uint64_t below_s, great_s, small_s;
		const char *great, *small;
	} forms[] = {{7200, 60, 1, "m", "s"}, {2 * 86400, 3600, 60, "h", "m"}, {UINT64_MAX, 86400, 3600, "d", "h"}};
	uint64_t tenths = round_up(ms, 100), s = round_up(ms, 1000), great, small;
	size_t i = 0;

	if (tenths < 100 && tenths % 10) {
		snprintf(text, DURATION_TEXT, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
		return;
	}
	if (s <= 120) {
		snprintf(text, DURATION_TEXT, "%" PRIu64 " s", s);
		return;
	}
	while (s >= forms[i].below_s || (i == 0 && s % 3600 == 0))
		i++;
	small = round_up(s, forms[i].small_s);
	great = small / (forms[i].great_s / forms[i].small_s);
	small %= forms[i].great_s / forms[i].small_s;
	if (small)
		snprintf(text, DURATION_TEXT, "%" PRIu64 " %s %" PRIu64 " %s", great, forms[i].great, small, forms[i].small);
	else
		snprintf(text, DURATION_TEXT, "%" PRIu64 " %s", great, forms[i].great);
}

void duration_say_passed(uint64_t ms, char text[DURATION_TEXT])
{
	uint64_t unit_ms = ms < 1000 ? 100 : 1000;

	for (size_t i = 0; i < UNITS && units[i].ms > unit_ms; i++)
		if (ms / units[i].ms > 2)
			unit_ms = units[i].ms;
	duration_say(ms - ms % unit_ms, text);
}
