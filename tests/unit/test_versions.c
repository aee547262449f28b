#include "wire/versions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct version table[] = {{"ledger", 3}, {"message", 4}, {NULL, 0}};

static int check(const char *list, char error[VERSIONS_TEXT_SIZE])
{
	error[0] = '\0';
	return versions_check(table, list, error);
}

static void test_what_is_said_can_be_read(void **state)
{
	char text[VERSIONS_TEXT_SIZE], error[VERSIONS_TEXT_SIZE];

	(void)state;
	versions_format(table, text);
	assert_string_equal(text, "ledger=3,message=4");
	assert_int_equal(check(text, error), 0);
	assert_int_equal(check("message=4", error), 0);
	assert_int_equal(check("", error), 0);
}

static void test_what_cannot_be_read_is_named(void **state)
{
	char error[VERSIONS_TEXT_SIZE];

	(void)state;
	assert_int_equal(check("ledger=4,message=4", error), -EPROTO);
	assert_string_equal(error, "cannot read ledger=4 (reads version 3)");
	assert_int_equal(check("message=4,database=1", error), -EPROTO);
	assert_string_equal(error, "cannot read database=1 (does not know it)");
	assert_int_equal(check("ledge=3", error), -EPROTO);
	assert_int_equal(check("ledger", error), -EPROTO);
	assert_int_equal(check("garbage of any kind", error), -EPROTO);
	assert_int_equal(check(",", error), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said_can_be_read),
		cmocka_unit_test(test_what_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
