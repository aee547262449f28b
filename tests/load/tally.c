#include "tally.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_words[] = {
#define K(NAME, word, meaning) word,
	KINDS(K)
#undef K
};
static const char *const verdict_words[] = {
#define T(NAME, word) word,
	VERDICTS(T)
#undef T
};

const char *kind_word(enum kind kind)
{
	return kind_words[kind];
}

int kind_parse(const char *word, enum kind *ret)
{
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (strcmp(word, kind_words[i]) == 0) {
			*ret = (enum kind)i;
			return 0;
		}
	return -EINVAL;
}

void tally_add(struct tally *tally, enum kind kind, enum load_verdict verdict)
{
	tally->count[kind][verdict]++;
}

void tally_fail(struct tally *tally, enum kind kind, enum load_verdict verdict, const char *format, ...)
{
	va_list args;

	tally_add(tally, kind, verdict);
	if (tally->failure_count == TALLY_FAILURES)
		return;
	va_start(args, format);
	vsnprintf(tally->failures[tally->failure_count++], TALLY_TEXT, format, args);
	va_end(args);
}

void tally_gap(struct tally *tally, uint64_t gap_ms, const char *whose)
{
	uint64_t at = gap_ms / TALLY_GAP_MS;

	tally->gaps[at < TALLY_GAPS ? at : TALLY_GAPS - 1]++;
	if (gap_ms > tally->gap_longest_ms) {
		tally->gap_longest_ms = gap_ms;
		snprintf(tally->gap_longest, TALLY_TEXT, "%s", whose);
	}
}

/* So many of a hundred connections had no longer gap. */
static uint64_t gap_of(const struct tally *tally, unsigned percent)
{
	uint64_t all = 0, seen = 0;

	for (unsigned i = 0; i < TALLY_GAPS; i++)
		all += tally->gaps[i];
	for (unsigned i = 0; i < TALLY_GAPS - 1; i++) {
		seen += tally->gaps[i];
		if (seen * 100 >= all * percent)
			return (i + 1) * TALLY_GAP_MS < tally->gap_longest_ms ? (i + 1) * TALLY_GAP_MS : tally->gap_longest_ms;
	}
	return tally->gap_longest_ms;
}

bool tally_clean(const struct tally *tally)
{
	for (unsigned k = 0; k < KIND_COUNT; k++)
		for (unsigned v = LOAD_OK + 1; v < LOAD_VERDICTS; v++)
			if (tally->count[k][v])
				return false;
	return true;
}

void tally_print(const struct tally *tally, const char *event, uint64_t duration_ms)
{
	const char *kind_comma = "";

	printf("{\"event\": \"%s\", \"opened\": %" PRIu64 ", \"open\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"ms\": %" PRIu64 ", \"kinds\": {",
		event, tally->opened, tally->open, tally->bytes_sent, tally->bytes_received, duration_ms);
	for (unsigned k = 0; k < KIND_COUNT; k++) {
		uint64_t all = 0;

		for (unsigned v = 0; v < LOAD_VERDICTS; v++)
			all += tally->count[k][v];
		if (!all)
			continue;
		printf("%s\"%s\": {\"all\": %" PRIu64, kind_comma, kind_words[k], all);
		kind_comma = ", ";
		for (unsigned v = 0; v < LOAD_VERDICTS; v++)
			if (tally->count[k][v])
				printf(", \"%s\": %" PRIu64, verdict_words[v], tally->count[k][v]);
		printf("}");
	}
	printf("}, \"gap_ms\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %" PRIu64
	       ", \"whose\": \"%s\"}, \"failures\": [",
		gap_of(tally, 50), gap_of(tally, 99), tally->gap_longest_ms, tally->gap_longest);
	for (unsigned i = 0; i < tally->failure_count; i++)
		printf("%s\"%s\"", i ? ", " : "", tally->failures[i]);
	printf("]}\n");
	fflush(stdout);
}
