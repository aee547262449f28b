#include "supervisor/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_only_early_deaths_count(void **state)
{
	struct backoff backoff = {0};

	(void)state;
	assert_int_equal(backoff_died(&backoff, 0), 100);
	assert_int_equal(backoff_died(&backoff, 0), 200);
	assert_int_equal(backoff_died(&backoff, 0), 400);
	assert_int_equal(backoff.failures, 3);
	assert_int_equal(backoff_died(&backoff, 1), 0);
	assert_int_equal(backoff.failures, 0);
	assert_int_equal(backoff_died(&backoff, 0), 100);
	backoff_ready(&backoff);
	assert_int_equal(backoff_died(&backoff, 0), 100);
}

static void test_it_never_grows_beyond_its_limit(void **state)
{
	struct backoff backoff = {0};
	uint32_t last = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint32_t wait = backoff_died(&backoff, 0);

		assert_true(wait >= last && wait <= BACKOFF_MAX_MS);
		last = wait;
	}
	assert_int_equal(last, BACKOFF_MAX_MS);
	backoff.failures = UINT32_MAX;
	assert_int_equal(backoff_died(&backoff, 0), BACKOFF_MAX_MS);
	assert_true(backoff.failures == UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_early_deaths_count),
		cmocka_unit_test(test_it_never_grows_beyond_its_limit),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
