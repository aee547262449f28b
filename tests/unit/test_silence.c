/* The rule by which a peer is dead, stalled or slow, over what TCP_INFO would say as time goes by. */
#include "relay/silence.h"

#include "wire/liveness.h"

#include <linux/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { START = 1000000, DEAD_MS = 10000 };

/* A peer and the kernel's view of it. Times are CLOCK_MONOTONIC ms. */
struct peer {
	struct silence silence;
	struct side_policy policy;
	uint64_t heard_ms;
	struct tcp_info info;
};

static void peer_init(struct peer *p)
{
	memset(p, 0, sizeof *p);
	p->policy.dead_after_ms = DEAD_MS;
	liveness_derive(&p->policy);
	p->heard_ms = START;
	silence_start(&p->silence, START);
}

static void write_at(struct peer *p, uint64_t now_ms)
{
	p->info.tcpi_unacked = 1;
	silence_begin(&p->silence, &p->policy, now_ms, 0, now_ms);
}

static void hear_at(struct peer *p, uint64_t now_ms)
{
	p->heard_ms = now_ms;
	p->info.tcpi_probes = 0;
}

static enum silence_verdict look_at(struct peer *p, uint64_t now_ms)
{
	p->info.tcpi_last_ack_recv = p->info.tcpi_last_data_recv = (uint32_t)(now_ms - p->heard_ms);
	return silence_judge(&p->silence, &p->policy, &p->info, now_ms);
}

/* Looks whenever it is due; the kernel asks once a second. When it was found dead or stalled, else 0. */
static uint64_t watch(struct peer *p, uint64_t until_ms, bool window_closed, enum silence_verdict *verdict)
{
	uint64_t question_ms = p->silence.outstanding_ms + 1000;

	for (uint64_t now_ms = p->silence.outstanding_ms; now_ms <= until_ms; now_ms += 10) {
		if (now_ms >= question_ms) {
			question_ms += 1000;
			if (window_closed)
				p->info.tcpi_probes++;
			else
				p->info.tcpi_total_retrans++;
		}
		if (now_ms < p->silence.look_ms)
			continue;
		*verdict = look_at(p, now_ms);
		if (*verdict != SILENCE_WAITS)
			return now_ms;
	}
	return 0;
}

static void in_flight_it_is_dead_after_dead_after(void **state)
{
	struct peer p;
	enum silence_verdict verdict;
	uint64_t at_ms;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	at_ms = watch(&p, START + 60000, false, &verdict);
	assert_int_equal(verdict, SILENCE_DEAD);
	assert_in_range(at_ms, START + DEAD_MS, START + DEAD_MS + 50);
}

static void silence_before_the_write_counts(void **state)
{
	struct peer p;
	enum silence_verdict verdict;

	(void)state;
	for (uint64_t idle_ms = 0; idle_ms < 2000; idle_ms += 250) {
		uint64_t at_ms;

		peer_init(&p);
		write_at(&p, START + idle_ms);
		at_ms = watch(&p, START + 60000, false, &verdict);
		assert_int_equal(verdict, SILENCE_DEAD);
		assert_in_range(at_ms, START + DEAD_MS, START + DEAD_MS * 11 / 10);
	}
}

/* Keepalive has asked in vain since the third second: that counts, too, and the first look comes soon. */
static void questions_before_the_write_count(void **state)
{
	struct peer p;
	enum silence_verdict verdict;
	uint64_t at_ms;

	(void)state;
	peer_init(&p);
	p.info.tcpi_probes = 7;
	write_at(&p, START + 9500);
	at_ms = watch(&p, START + 60000, false, &verdict);
	assert_int_equal(verdict, SILENCE_DEAD);
	assert_in_range(at_ms, START + DEAD_MS, START + DEAD_MS * 11 / 10);
}

/* An explicit keepalive of two hours: a minute of silence that no one tried to break is no reason. */
static void silence_without_a_question_does_not_count(void **state)
{
	struct peer p;
	enum silence_verdict verdict;
	uint64_t at_ms;

	(void)state;
	peer_init(&p);
	p.policy.keepalive_idle_s = 7200;
	write_at(&p, START + 60000);
	p.info.tcpi_total_retrans = 3;
	assert_int_equal(look_at(&p, START + 62000), SILENCE_WAITS);
	at_ms = watch(&p, START + 120000, false, &verdict);
	assert_int_equal(verdict, SILENCE_DEAD);
	assert_in_range(at_ms, START + 60000 + DEAD_MS * 8 / 10, START + 60000 + DEAD_MS * 11 / 10);
}

static void no_question_no_verdict(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	/* The kernel's gaps had grown: it has asked but once since. */
	for (uint64_t ms = 2500; ms <= 60000; ms += 500) {
		assert_int_equal(look_at(&p, START + ms), SILENCE_WAITS);
		p.info.tcpi_total_retrans = 1;
	}
}

/* Sent again before the last sign of life, and answered then: no question. The clock's ticks do not make a sign of life. */
static void only_questions_after_the_last_sign_of_life_count(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	p.info.tcpi_total_retrans = 8;
	hear_at(&p, START + 5000);
	assert_int_equal(look_at(&p, START + 5200), SILENCE_WAITS);
	for (uint64_t ms = 7500; ms <= 20000; ms += 100) {
		p.heard_ms = START + 5000 + ms % 4;
		assert_int_equal(look_at(&p, START + ms), SILENCE_WAITS);
	}
	p.info.tcpi_total_retrans = 10;
	assert_int_equal(look_at(&p, START + 20100), SILENCE_DEAD);
}

static void a_stopped_reader_that_answers_lives(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	p.info.tcpi_notsent_bytes = 100000;
	silence_begin(&p.silence, &p.policy, START, 0, START);
	for (uint64_t ms = 1000; ms <= 600000; ms += 1000) {
		hear_at(&p, START + ms - 300);
		assert_int_equal(look_at(&p, START + ms), SILENCE_WAITS);
	}
}

static void a_stopped_reader_that_stops_answering_is_dead(void **state)
{
	struct peer p;
	enum silence_verdict verdict;
	uint64_t at_ms;

	(void)state;
	peer_init(&p);
	p.info.tcpi_notsent_bytes = 100000;
	silence_begin(&p.silence, &p.policy, START, 0, START);
	hear_at(&p, START + 60000);
	p.silence.outstanding_ms = START;
	assert_int_equal(look_at(&p, START + 60100), SILENCE_WAITS);
	p.silence.outstanding_ms = START + 60100; /* only where watch begins */
	at_ms = watch(&p, START + 120000, true, &verdict);
	assert_int_equal(verdict, SILENCE_DEAD);
	assert_in_range(at_ms, START + 60000 + DEAD_MS, START + 60000 + DEAD_MS * 11 / 10);
}

static void data_is_a_sign_of_life(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	p.info.tcpi_total_retrans = 9;
	p.info.tcpi_last_ack_recv = 20000;
	p.info.tcpi_last_data_recv = 100;
	assert_int_equal(silence_judge(&p.silence, &p.policy, &p.info, START + 20000), SILENCE_WAITS);
}

static void a_stalled_peer_is_one_that_lives(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	p.policy.stall_after_ms = 5000;
	p.info.tcpi_notsent_bytes = 100000;
	silence_begin(&p.silence, &p.policy, START, 0, START);
	p.info.tcpi_bytes_acked = 1000;
	hear_at(&p, START + 1000);
	assert_int_equal(look_at(&p, START + 1100), SILENCE_WAITS);
	/* Silent since: for dead_after to say. */
	assert_int_equal(look_at(&p, START + 6100), SILENCE_WAITS);
	hear_at(&p, START + 6200);
	assert_int_equal(look_at(&p, START + 6300), SILENCE_STALLED);
	/* A byte taken: time begins anew. */
	p.info.tcpi_bytes_acked = 1001;
	hear_at(&p, START + 6400);
	assert_int_equal(look_at(&p, START + 6500), SILENCE_WAITS);
}

static void it_is_over_when_all_is_acknowledged(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	p.info.tcpi_unacked = 0;
	assert_int_equal(look_at(&p, START + 20000), SILENCE_OVER);
	assert_int_equal(p.silence.outstanding_ms, 0);
}

/* A successor knows nothing of what was asked before: it needs two questions of its own, and no more time than that. */
static void an_adopted_one_is_asked_again(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	memset(&p.silence, 0, sizeof p.silence);
	p.info.tcpi_unacked = 1;
	p.info.tcpi_total_retrans = 7;
	silence_begin(&p.silence, &p.policy, START, 0, START + 9000);
	assert_int_equal(look_at(&p, START + 9000), SILENCE_WAITS);
	assert_int_equal(look_at(&p, START + 10500), SILENCE_WAITS);
	p.info.tcpi_total_retrans = 9;
	assert_int_equal(look_at(&p, START + 11500), SILENCE_DEAD);
}

static void a_closed_one_is_for_others_to_judge(void **state)
{
	struct peer p;

	(void)state;
	peer_init(&p);
	write_at(&p, START);
	p.info.tcpi_state = 7;
	p.info.tcpi_notsent_bytes = 1;
	assert_int_equal(look_at(&p, START + 100000), SILENCE_CLOSED);
	assert_int_equal(p.silence.outstanding_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_flight_it_is_dead_after_dead_after),
		cmocka_unit_test(silence_before_the_write_counts),
		cmocka_unit_test(questions_before_the_write_count),
		cmocka_unit_test(silence_without_a_question_does_not_count),
		cmocka_unit_test(no_question_no_verdict),
		cmocka_unit_test(only_questions_after_the_last_sign_of_life_count),
		cmocka_unit_test(a_stopped_reader_that_answers_lives),
		cmocka_unit_test(a_stopped_reader_that_stops_answering_is_dead),
		cmocka_unit_test(data_is_a_sign_of_life),
		cmocka_unit_test(a_stalled_peer_is_one_that_lives),
		cmocka_unit_test(it_is_over_when_all_is_acknowledged),
		cmocka_unit_test(an_adopted_one_is_asked_again),
		cmocka_unit_test(a_closed_one_is_for_others_to_judge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
