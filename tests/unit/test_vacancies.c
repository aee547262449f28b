/* The lowest free slot is given away, each once, and no more than there are. */
#include "relay/vacancies.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_lowest_is_taken_until_none_is_left(void **state)
{
	struct vacancies v;

	(void)state;
	for (uint32_t count = 1; count < 200; count++) {
		assert_int_equal(vacancies_init(&v, count), 0);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(vacancies_take(&v), i);
		assert_int_equal(vacancies_take(&v), -ENOSPC);
		assert_int_equal(v.live, count);
		vacancies_give(&v, count / 2);
		assert_int_equal(vacancies_take(&v), count / 2);
		free(v.taken);
	}
}

static void what_is_marked_is_not_given_away(void **state)
{
	struct vacancies v;

	(void)state;
	assert_int_equal(vacancies_init(&v, 130), 0);
	vacancies_mark(&v, 0);
	vacancies_mark(&v, 1);
	vacancies_mark(&v, 129);
	assert_int_equal(vacancies_take(&v), 2);
	for (uint32_t i = 3; i < 129; i++)
		assert_int_equal(vacancies_take(&v), i);
	assert_int_equal(vacancies_take(&v), -ENOSPC);
	vacancies_give(&v, 129);
	assert_int_equal(vacancies_take(&v), 129);
	free(v.taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_is_taken_until_none_is_left),
		cmocka_unit_test(what_is_marked_is_not_given_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
