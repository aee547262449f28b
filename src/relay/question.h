/* Whether one peer lives, asked in the open and judged within seconds: "reclaim before refuse". Unlike silence.h it asks an idle
 * peer itself, again and again, and does not wait for dead_after.
 *
 * It lives when anything has come from it since the first look. It is silent when three things hold: nothing has come for the
 * timeout, or for eight times what the kernel waits before it sends something again, if that is longer; at least QUESTION_ASKS
 * questions since then were not answered; and it was we who asked, so what was silent long before counts from the first look on.
 * An idle peer is asked by keepalive probes, as often as is wanted (probe.h), but not within a second of its last word: that word
 * counts for it, and its silence from there on. With bytes outstanding the questions are the bytes themselves, their
 * retransmissions and window probes, which the kernel sends in its own time; those since the last sign of life count.
 *
 * A plain struct of who asks; all of it can be lost. */
#ifndef RELAY_QUESTION_H
#define RELAY_QUESTION_H
#include "relay/silence.h"

enum { QUESTION_ASKS = 4 };

enum question_verdict {
	QUESTION_ALIVE,
	QUESTION_OPEN, /* it is to be asked again, unless something is outstanding: then the kernel asks in its own time */
	QUESTION_SILENT,
	QUESTION_CLOSED, /* its connection has failed: the kernel knows why */
};

/* CLOCK_MONOTONIC ms. */
struct question {
	uint64_t heard_ms;    /* its last sign of life at the first look */
	uint64_t since_ms;    /* from when on its silence counts; 0: there has been no look */
	uint32_t retransmits; /* tcpi_total_retrans: more of them are questions without an answer */
	/* Of the last look: */
	uint32_t asks; /* questions that were not answered */
	uint32_t silent_ms;
	bool outstanding;
	uint64_t due_ms; /* if nothing comes and it has been asked often enough, it is silent then */
};

/* What TCP_INFO says now. silence: what is known of that side already, or one that is all zero; for the first look. */
enum question_verdict question_judge(struct question *question, const struct silence *silence, uint32_t timeout_ms,
	const struct tcp_info *info, uint64_t now_ms);

/* Asks the kernel and judges; who is not on TCP lives. */
enum question_verdict question_look(
	struct question *question, const struct silence *silence, uint32_t timeout_ms, int fd, uint64_t now_ms);

#endif
