/* What is reckoned against what was measured on Linux 6.18, seconds: peers cut off by a packet filter. */
#include "steward/config/bounds.h"
#include "wire/liveness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct kernel usual = {.retries2 = 15,
	.syn_retries = 6,
	.syn_linear_timeouts = 4,
	.synack_retries = 5,
	.fin_timeout_s = 60,
	.rto_max_ms = 120000,
	.paces = true};

/* Timers are late, the longer the later, and never early. */
static void assert_measured(struct bound bound, double measured_s)
{
	double s = (double)bound.ms / 1000;

	if (bound.ms == BOUND_NEVER || measured_s < s - 0.2 || measured_s > s * 1.07 + 1.2)
		fail_msg("reckoned %.1f s, measured %.1f s", s, measured_s);
}

static struct kernel syn(uint32_t retries, uint32_t linear)
{
	struct kernel k = usual;

	k.syn_retries = retries;
	k.syn_linear_timeouts = linear;
	return k;
}

static void what_the_kernel_documents(void **state)
{
	struct side_policy p = {0};
	struct kernel classic = syn(6, 0);

	(void)state;
	assert_int_equal(bounds_backoff_ms(15, 200, 120000), 924600); /* ip-sysctl, tcp_retries2 */
	assert_int_equal(bounds_backoff_ms(8, 200, 120000), 102200);
	assert_int_equal(bounds_backoff_ms(15, 200, 2200), 29400);
	assert_int_equal(bounds_backoff_ms(0, 200, 120000), 200);
	assert_int_equal(bounds_syn_ms(&classic), 127000);
	assert_int_equal(bounds_syn_ms(&usual), 131000);
	assert_int_equal(bound_syn_received(&p, &usual).ms, 63000);
}

static void a_syn_into_the_void(void **state)
{
	static const struct {
		uint32_t retries, rto_max_ms;
		double measured_s;
	} cases[] = {{6, 120000, 134.4}, {1, 120000, 3.1}, {2, 120000, 7.1}, {6, 1000, 7.2}, {6, 2000, 13.2}};
	struct side_policy p = {.connect_timeout_ms = 1000000};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kernel k = syn(cases[i].retries, 4);
		k.rto_max_ms = cases[i].rto_max_ms;
		assert_measured(bound_syn_sent(&p, &k), cases[i].measured_s);
		assert_int_equal(bound_syn_sent(&p, &k).by, BY_SYN_RETRIES);
	}
	p.user_timeout_ms = 3000;
	assert_measured(bound_syn_sent(&p, &usual), 3.1);
	p.connect_timeout_ms = 2000;
	assert_int_equal(bound_syn_sent(&p, &usual).by, BY_CONNECT_TIMEOUT);
}

static void an_idle_peer(void **state)
{
	static const struct {
		uint32_t idle_s, interval_s, count, user_timeout_ms;
		double measured_s;
	} cases[] = {
		{4, 2, 3, 0, 10.0}, {4, 2, 3, 3000, 5.9}, {4, 2, 3, 10000, 9.9}, {4, 2, 3, 30000, 30.1}, {4, 2, 9, 10000, 9.9}};
	struct side_policy p = {.user_timeout_ms = 10000};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		p = (struct side_policy){.keepalive_idle_s = cases[i].idle_s,
			.keepalive_interval_s = cases[i].interval_s,
			.keepalive_count = cases[i].count,
			.user_timeout_ms = cases[i].user_timeout_ms};
		assert_measured(bound_idle(&p, &usual), cases[i].measured_s);
	}
	/* TCP_USER_TIMEOUT alone asks nothing. */
	p = (struct side_policy){.user_timeout_ms = 10000};
	assert_true(bound_idle(&p, &usual).ms == BOUND_NEVER);
}

static void bytes_outstanding_without_dead_after(void **state)
{
	struct side_policy none = {0}, timeout = {.user_timeout_ms = 10000};
	struct side_policy probes = {
		.keepalive_idle_s = 4, .keepalive_interval_s = 2, .keepalive_count = 3, .user_timeout_ms = 10000};
	struct kernel k = usual;

	(void)state;
	assert_int_equal(bound_unacknowledged(&none, &k).ms, 924600);
	assert_true(bound_unacknowledged(&none, &k).at_least);
	assert_true(bound_not_reading(&none, &k).ms == BOUND_NEVER);
	assert_measured(bound_unacknowledged(&timeout, &k), 10.7);
	assert_measured(bound_window_closed(&timeout, &k), 10.6);
	/* It kills the living, too. */
	assert_measured(bound_not_reading(&timeout, &k), 10.5);
	/* Written to 8 s after it vanished it was dead after 18.6 s, and could have been written to at 9.9 s. */
	assert_true(bound_write_after_silence(&probes, &k).ms == 20000);
	assert_true(bound_write_after_silence(&timeout, &k).from_write);

	k.rto_max_ms = 1000;
	k.paces = false;
	assert_measured(bound_unacknowledged(&none, &k), 15.1);
	assert_measured(bound_window_closed(&none, &k), 15.0);
	k = usual;
	k.retries2 = 6;
	assert_measured(bound_unacknowledged(&none, &k), 26.9);
}

static void dead_after_rules_while_bytes_are_outstanding(void **state)
{
	struct side_policy p = {.dead_after_ms = 60000};
	struct kernel k = usual;

	(void)state;
	liveness_derive(&p);
	for (int paces = 0; paces <= 1; paces++) {
		k.paces = paces;
		assert_int_equal(bound_idle(&p, &k).ms, 60000);
		assert_int_equal(bound_unacknowledged(&p, &k).ms, 60000);
		assert_int_equal(bound_unacknowledged(&p, &k).by, BY_DEAD_AFTER);
		assert_int_equal(bound_window_closed(&p, &k).ms, 60000);
		assert_int_equal(bound_write_after_silence(&p, &k).ms, 63000);
		assert_true(bound_not_reading(&p, &k).ms == BOUND_NEVER);
	}
	/* A kernel that gives up early does so before us, but not what TCP_USER_TIMEOUT keeps it from. */
	k.retries2 = 5;
	assert_int_equal(bound_unacknowledged(&p, &k).by, BY_RETRIES);
	assert_int_equal(bound_unacknowledged(&p, &k).ms, 12600);
	k.paces = false;
	assert_int_equal(bound_unacknowledged(&p, &k).by, BY_DEAD_AFTER);
	assert_int_equal(bound_window_closed(&p, &k).by, BY_RETRIES);

	p.user_timeout_ms = 20000;
	assert_int_equal(bound_unacknowledged(&p, &usual).by, BY_USER_TIMEOUT);
	/* Who sets it must do without being paced by it. */
	assert_true(bounds_are_paced(&p, &usual) && !bounds_are_paced(&p, &k));
	assert_int_equal(bound_window_closed(&p, &k).by, BY_RETRIES);
	p.stall_after_ms = 15000;
	assert_int_equal(bound_unacknowledged(&p, &usual).by, BY_USER_TIMEOUT);
	assert_int_equal(bound_not_reading(&p, &usual).by, BY_STALL_AFTER);
	p.keepalive_idle_s = 0;
	assert_true(bound_idle(&p, &usual).ms == BOUND_NEVER);
	assert_true(bound_write_after_silence(&p, &usual).from_write);
}

/* Without dead_after no one tells the dead from the stalled. */
static void stall_after_alone(void **state)
{
	struct side_policy p = {.stall_after_ms = 5000};

	(void)state;
	assert_int_equal(bound_unacknowledged(&p, &usual).ms, 5000);
	assert_int_equal(bound_window_closed(&p, &usual).by, BY_STALL_AFTER);
	assert_int_equal(bound_write_after_silence(&p, &usual).ms, 5000);
	assert_true(bound_write_after_silence(&p, &usual).from_write);
	assert_true(bound_idle(&p, &usual).ms == BOUND_NEVER);
}

static void after_the_end(void **state)
{
	struct side_policy p = {.dead_after_ms = 60000, .linger_timeout_ms = 10000};
	struct kernel k = usual;

	(void)state;
	liveness_derive(&p);
	assert_int_equal(bound_closing(&p, &k).ms, 10000);
	assert_measured(bound_background(&p, &k), 10.7);
	assert_measured(bound_awaited_fin(&p, &k), 61.5);
	p.linger_timeout_ms = 120000;
	assert_int_equal(bound_closing(&p, &k).by, BY_DEAD_AFTER);
	assert_int_equal(bound_not_taking_the_end(&p, &k).by, BY_LINGER_TIMEOUT);
	/* 107 s were measured for FIN-WAIT-1, LAST-ACK and CLOSING without TCP_USER_TIMEOUT. */
	assert_measured(bound_background_window_closed(&p, &k), 107);
	k.orphan_retries = 3;
	assert_int_equal(bound_background_window_closed(&p, &k).ms, 3000);
	p.linger = LINGER_RESET;
	assert_int_equal(bound_closing(&p, &k).ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_documents),
		cmocka_unit_test(a_syn_into_the_void),
		cmocka_unit_test(an_idle_peer),
		cmocka_unit_test(bytes_outstanding_without_dead_after),
		cmocka_unit_test(dead_after_rules_while_bytes_are_outstanding),
		cmocka_unit_test(stall_after_alone),
		cmocka_unit_test(after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
