/* Whether a peer that is asked in the open lives, over what TCP_INFO would say as time goes by. */
#include "relay/question.h"

#include <linux/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { START = 1000000, TIMEOUT_MS = 1500, LONG_MS = 5000 };

struct peer {
	struct question question;
	struct silence silence;
	struct tcp_info info;
	uint64_t heard_ms;
};

static void peer_init(struct peer *p, uint64_t heard_ms)
{
	memset(p, 0, sizeof *p);
	p->heard_ms = heard_ms;
	p->info.tcpi_state = 1;
	p->info.tcpi_rtt = 500;
	p->info.tcpi_rttvar = 250;
	p->info.tcpi_last_data_sent = UINT32_MAX;
}

static enum question_verdict look_at(struct peer *p, uint32_t timeout_ms, uint64_t now_ms)
{
	p->info.tcpi_last_ack_recv = (uint32_t)(now_ms - p->heard_ms);
	p->info.tcpi_last_data_recv = p->info.tcpi_last_ack_recv + 3000;
	return question_judge(&p->question, &p->silence, timeout_ms, &p->info, now_ms);
}

/* When it is judged silent, looked at every 100 ms and asked each time from asked_ms on; 0: not within ten seconds. */
static uint64_t silent_at(struct peer *p, uint32_t timeout_ms, uint64_t asked_ms)
{
	for (uint64_t now_ms = START; now_ms < START + 10000; now_ms += 100) {
		switch (look_at(p, timeout_ms, now_ms)) {
		case QUESTION_SILENT:
			return now_ms - START;
		case QUESTION_OPEN:
			p->info.tcpi_probes = (uint8_t)(p->info.tcpi_probes + (now_ms >= asked_ms));
			break;
		case QUESTION_ALIVE:
		case QUESTION_CLOSED:
			return 0;
		}
	}
	return 0;
}

static void who_was_quiet_has_the_whole_time_to_answer(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 30000);
	assert_int_equal(silent_at(&p, LONG_MS, START), 5100);
	peer_init(&p, START - 1000);
	assert_int_equal(silent_at(&p, LONG_MS, START), 5100);
}

static void a_late_word_counts_from_when_it_came(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 100);
	assert_int_equal(silent_at(&p, LONG_MS, START + 900), 5000);
	/* A probe needs a second, four of them more. */
	peer_init(&p, START);
	assert_int_equal(silent_at(&p, 1000, START + 1500), 1900);
}

static void nobody_is_silent_before_eight_times_the_kernels_wait(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 30000);
	assert_int_equal(silent_at(&p, TIMEOUT_MS, START), 1700);
	peer_init(&p, START - 30000);
	p.info.tcpi_rtt = 300000;
	assert_int_equal(silent_at(&p, TIMEOUT_MS, START), 4100); /* 8 × (300 + 200) */
	peer_init(&p, START - 30000);
	p.info.tcpi_rttvar = 100000;
	assert_int_equal(silent_at(&p, TIMEOUT_MS, START), 3300); /* 8 × 4 × 100 and a bit */
	peer_init(&p, START - 30000);
	p.info.tcpi_rtt = 0; /* not known */
	assert_int_equal(silent_at(&p, TIMEOUT_MS, START), 8100);
}

static void who_is_not_asked_is_not_silent(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 30000);
	assert_int_equal(silent_at(&p, TIMEOUT_MS, START + 60000), 0);
	p.info.tcpi_probes = QUESTION_ASKS - 1;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 20000), QUESTION_OPEN);
	p.info.tcpi_probes = QUESTION_ASKS;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 20000), QUESTION_SILENT);
}

static void any_word_is_a_sign_of_life(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 30000);
	p.info.tcpi_probes = 100;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START), QUESTION_OPEN);
	p.heard_ms = START + 1;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 100), QUESTION_ALIVE);
	/* A reading that is off by a tick is none. */
	peer_init(&p, START - 50);
	look_at(&p, TIMEOUT_MS, START);
	p.heard_ms += 10;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 100), QUESTION_OPEN);
	p.heard_ms += 20;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 100), QUESTION_ALIVE);
	peer_init(&p, START - 50);
	p.info.tcpi_state = 7;
	assert_int_equal(look_at(&p, TIMEOUT_MS, START), QUESTION_CLOSED);
}

/* Written to just after its last word: sent again after 0.2, 0.6, 1.4 and 3 seconds. */
static void retransmissions_are_questions(void **state)
{
	static const uint64_t sent[] = {START + 200, START + 600, START + 1400, START + 3000};
	struct peer p;

	(void)state;
	for (uint64_t first_ms = 0; first_ms <= 900; first_ms += 100) {
		uint64_t judged_ms = 0;

		peer_init(&p, START);
		p.info.tcpi_unacked = 1;
		p.info.tcpi_total_retrans = 50; /* of earlier times */
		for (uint64_t now_ms = START; now_ms < START + 5000 && !judged_ms; now_ms += 100) {
			p.info.tcpi_last_data_sent = (uint32_t)(now_ms - START);
			for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
				if (now_ms == sent[i]) {
					p.info.tcpi_total_retrans++;
					p.info.tcpi_retransmits++;
				}
			for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
				if (now_ms >= sent[i])
					p.info.tcpi_last_data_sent = (uint32_t)(now_ms - sent[i]);
			if (now_ms >= START + first_ms && look_at(&p, TIMEOUT_MS, now_ms) == QUESTION_SILENT)
				judged_ms = now_ms - START;
		}
		assert_int_equal(judged_ms, 1700); /* whenever the newcomer came */
	}
}

/* It answers each window probe or retransmission, but these are far apart. */
static void who_answered_the_last_question_lives(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 3000);
	p.info.tcpi_unacked = 1;
	p.info.tcpi_retransmits = 9;
	p.info.tcpi_total_retrans = 9;
	p.info.tcpi_last_data_sent = 3000; /* it answered that */
	for (uint64_t now_ms = START; now_ms < START + 4900; now_ms += 100) {
		p.info.tcpi_last_data_sent += 100;
		assert_int_equal(look_at(&p, TIMEOUT_MS, now_ms), QUESTION_OPEN);
	}
}

/* What silence.c has counted since the last word is known already. */
static void earlier_questions_count(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p, START - 20000);
	p.info.tcpi_unacked = 1;
	p.info.tcpi_total_retrans = 10;
	p.silence = (struct silence){
		.outstanding_ms = START - 20000, .looked_ms = START - 5000, .heard_ms = START - 20000, .retransmits = 5};
	assert_int_equal(look_at(&p, TIMEOUT_MS, START), QUESTION_OPEN); /* it is we who ask now */
	assert_int_equal(p.question.asks, 6);
	assert_int_equal(look_at(&p, TIMEOUT_MS, START + 1700), QUESTION_SILENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_was_quiet_has_the_whole_time_to_answer),
		cmocka_unit_test(a_late_word_counts_from_when_it_came),
		cmocka_unit_test(nobody_is_silent_before_eight_times_the_kernels_wait),
		cmocka_unit_test(who_is_not_asked_is_not_silent),
		cmocka_unit_test(any_word_is_a_sign_of_life),
		cmocka_unit_test(retransmissions_are_questions),
		cmocka_unit_test(who_answered_the_last_question_lives),
		cmocka_unit_test(earlier_questions_count),
	};

	return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
