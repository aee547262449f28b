/* What follows from dead_after, for every value that it can have. */
#include "wire/liveness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct side_policy derived(uint32_t dead_s)
{
	struct side_policy side = {.dead_after_ms = dead_s * 1000};

	liveness_derive(&side);
	return side;
}

static void an_idle_peer_is_dead_in_time_and_not_by_one_lost_probe(void **state)
{
	(void)state;
	for (uint32_t dead_s = LIVENESS_LEAST_MS / 1000; dead_s <= LIVENESS_MOST_MS / 1000; dead_s++) {
		struct side_policy side = derived(dead_s);

		assert_int_equal(liveness_idle_ms(&side), dead_s * 1000);
		assert_true(side.keepalive_count >= 2 && side.keepalive_count <= 127);
		assert_true(side.keepalive_idle_s >= 1 && side.keepalive_idle_s <= (dead_s + 2) / 3);
	}
}

static void who_is_asked_earlier_is_asked_once_more(void **state)
{
	(void)state;
	for (uint32_t dead_s = LIVENESS_LEAST_MS / 1000; dead_s <= LIVENESS_MOST_MS / 1000; dead_s++)
		for (uint32_t n = 0; n < 20; n++) {
			struct side_policy side = derived(dead_s);

			liveness_spread(&side, n);
			assert_true(side.keepalive_idle_s >= 1 && side.keepalive_idle_s <= 32767);
			assert_true(side.keepalive_count <= 127);
			assert_int_equal(liveness_idle_ms(&side), dead_s * 1000);
		}
}

/* The bound that is promised, and that the kernel, which gives up after 15 questions, is not the one who judges. */
static void the_bounds_hold(void **state)
{
	(void)state;
	for (uint32_t dead_s = LIVENESS_LEAST_MS / 1000; dead_s <= LIVENESS_MOST_MS / 1000; dead_s++) {
		struct side_policy side = derived(dead_s);
		uint64_t kernel_ms = 0, gap_ms = 200;

		assert_true(liveness_write_ms(&side) >= side.dead_after_ms);
		assert_true(liveness_write_ms(&side) <= side.dead_after_ms * 11ull / 10 + 1000);
		for (int i = 0; i <= 15; i++) {
			kernel_ms += gap_ms;
			gap_ms = gap_ms * 2 < side.ask_gap_ms ? gap_ms * 2 : side.ask_gap_ms;
		}
		assert_true(kernel_ms > side.dead_after_ms);
	}
}

static void what_was_said_stands(void **state)
{
	struct side_policy side = {.dead_after_ms = 10000, .keepalive_idle_s = 7200};

	(void)state;
	liveness_derive(&side);
	assert_int_equal(side.keepalive_idle_s, 7200);
	assert_int_equal(side.keepalive_interval_s, 1);
	assert_int_equal(side.keepalive_count, 2);
	assert_int_equal(liveness_write_ms(&side), 7200 * 1000 + 8500);

	side = (struct side_policy){.dead_after_ms = 10000, .keepalive_idle_s = KEEPALIVE_OFF};
	liveness_derive(&side);
	assert_int_equal(side.keepalive_idle_s, 0);
	assert_int_equal(liveness_idle_ms(&side), 0);
	assert_int_equal(liveness_write_ms(&side), 10000);
}

static void without_dead_after_there_are_only_the_probes_that_were_asked_for(void **state)
{
	struct side_policy side = {.dead_after_ms = 0};

	(void)state;
	liveness_derive(&side);
	assert_int_equal(side.keepalive_idle_s, 0);
	assert_int_equal(side.ask_gap_ms, 0);
	side = (struct side_policy){.keepalive_idle_s = 100};
	liveness_derive(&side);
	assert_int_equal(side.keepalive_idle_s, 100);
	assert_int_equal(side.keepalive_interval_s, 4);
	assert_int_equal(side.dead_after_ms, 0);
	assert_int_equal(liveness_write_ms(&side), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_peer_is_dead_in_time_and_not_by_one_lost_probe),
		cmocka_unit_test(who_is_asked_earlier_is_asked_once_more),
		cmocka_unit_test(the_bounds_hold),
		cmocka_unit_test(what_was_said_stands),
		cmocka_unit_test(without_dead_after_there_are_only_the_probes_that_were_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
