#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 63 };

static int same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
	/* Three rows of the table of optimal string alignment: before the last, last, and this one. */
	size_t rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *now = rows[2], *swap;
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > LONGEST || b_length > LONGEST)
		return a_length > b_length ? a_length : b_length;
	for (size_t j = 0; j <= b_length; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			now[j] = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				now[j] = least(now[j], before[j - 2] + 1);
		}
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return last[b_length];
}

/* Whether a is close enough to b that a person may have meant b: at most a third of b is edited, and at least one edit is
 * allowed. */
static bool likely(const char *a, const char *b)
{
	size_t allowed = strlen(b) / 3;

	return nearest_distance(a, b) <= (allowed ? allowed : 1);
}

const char *nearest_word(const char *word, const char *const *known, size_t count)
{
	const char *found = NULL;
	size_t best = 0;

	for (size_t i = 0; i < count; i++) {
		size_t distance = nearest_distance(word, known[i]);
		if (!likely(word, known[i]) || (found && distance >= best))
			continue;
		found = known[i];
		best = distance;
	}
	return found;
}
