/* How the connections of one run ended, by kind; printed as one line of JSON. One struct a process. */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H
#include "request.h"

#include <stdbool.h>
#include <stdint.h>

/* T(NAME, word): NAME is OK or names what was wrong. */
#define VERDICTS(T)                                                                                                              \
	T(OK, "ok")                                                                                                              \
	T(WRONG_BYTE, "wrong_byte")   /* a byte was not the one sent at that place */                                            \
	T(EXCESS, "excess")           /* more came than was sent */                                                              \
	T(SHORT, "short")             /* a clean end before all had come */                                                      \
	T(RESET, "reset")             /* a reset where a clean end was due */                                                    \
	T(RESET_SHORT, "reset_short") /* a reset was due, but came before bytes that had been acknowledged */                    \
	T(DISGUISED, "disguised")     /* a reset was due, and a clean end came */                                                \
	T(REFUSED, "refused")         /* no connection */                                                                        \
	T(STUCK, "stuck")             /* not over at the deadline */                                                             \
	T(ODD, "odd")                 /* another errno, or no request */

enum load_verdict {
#define T(NAME, word) LOAD_##NAME,
	VERDICTS(T)
#undef T
		LOAD_VERDICTS
};

enum { TALLY_FAILURES = 20, TALLY_TEXT = 220, TALLY_GAPS = 1000, TALLY_GAP_MS = 10 };

struct tally {
	uint64_t count[KIND_COUNT][LOAD_VERDICTS];
	uint64_t opened, open, bytes_sent, bytes_received;
	uint64_t gaps[TALLY_GAPS], gap_longest_ms; /* by TALLY_GAP_MS; the last for all that are longer */
	char gap_longest[TALLY_TEXT];              /* whose it was, told in words */
	char failures[TALLY_FAILURES][TALLY_TEXT]; /* the first few, told in words */
	unsigned failure_count;
};

void tally_add(struct tally *tally, enum kind kind, enum load_verdict verdict);

/* The same, with a line for people about what was wrong. */
void tally_fail(struct tally *tally, enum kind kind, enum load_verdict verdict, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* For a connection that is over: the longest time in which it waited for something to come. */
void tally_gap(struct tally *tally, uint64_t gap_ms, const char *whose);

bool tally_clean(const struct tally *tally); /* nothing but OK */
void tally_print(const struct tally *tally, const char *event, uint64_t duration_ms);

#endif
