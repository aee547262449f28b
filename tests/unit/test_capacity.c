#include "supervisor/capacity.h"
#include "wire/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_all_fits_below_the_limit(void **state)
{
	(void)state;
	for (uint64_t nofile = 64; nofile < 4000000; nofile += nofile / 7 + 1) {
		uint64_t pipes = capacity_pipes(nofile), slots = capacity_slots(nofile);

		assert_true(slots >= 1 && slots <= LEDGER_SLOTS_MAX && pipes <= LEDGER_PIPES);
		assert_true(2 * slots + 2 * pipes < nofile);
	}
}

static void test_figures(void **state)
{
	(void)state;
	assert_int_equal(capacity_pipes(20000), 625);
	assert_int_equal(capacity_slots(20000), (20000 - 512 - 1250) / 2);
	assert_int_equal(capacity_slots(262144), (262144 - 512 - 2048) / 2);
	assert_int_equal(capacity_slots(1024), (1024 - 256 - 64) / 2);
	assert_int_equal(capacity_slots(UINT64_MAX), LEDGER_SLOTS_MAX);
	assert_int_equal(capacity_slots(0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fits_below_the_limit),
		cmocka_unit_test(test_figures),
	};

	return cmocka_run_group_tests_name("capacity", tests, NULL, NULL);
}
