#include "wire/versions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct version table[] = {
	VERSION_ONLY("ledger", 3), VERSION_ONLY("message", 4), {"database", 5, 3, 6}, VERSIONS_END};

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
	assert_string_equal(text, "ledger=3,message=4,database=5/3-6");
	assert_int_equal(check(text, error), 0);
	assert_int_equal(check("message=4", error), 0);
	assert_int_equal(check("", error), 0);
}

static void test_what_cannot_be_read_is_named(void **state)
{
	static const char *const wrong[] = {
		"ledger=", "ledger=3x", "ledger=3/", "ledger=3/3", "ledger=3/3-", "ledger=3/3-3x", "ledger=3/4-5"};
	char error[VERSIONS_TEXT_SIZE];

	(void)state;
	assert_int_equal(check("ledger=4,message=4", error), -EPROTO);
	assert_string_equal(error, "cannot read ledger=4 (reads version 3)");
	assert_int_equal(check("message=4,plan=1", error), -EPROTO);
	assert_string_equal(error, "cannot read plan=1 (does not know it)");
	assert_int_equal(check("ledge=3", error), -EPROTO);
	assert_int_equal(check("ledger", error), -EPROTO);
	assert_int_equal(check("garbage of any kind", error), -EPROTO);
	assert_int_equal(check(",", error), -EPROTO);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(check(wrong[i], error), -EPROTO);
}

/* Each must read what the other one leaves: the new one what it finds, the old one what it would have to go on with. */
static void test_a_range_is_read(void **state)
{
	char error[VERSIONS_TEXT_SIZE];

	(void)state;
	assert_int_equal(check("database=5", error), 0);
	assert_int_equal(check("database=3/1-5", error), 0);
	assert_int_equal(check("database=6/5-6", error), 0);
	assert_int_equal(check("database=2/1-5", error), -EPROTO);
	assert_string_equal(error, "cannot read database=2 (reads versions 3 to 6)");
	assert_int_equal(check("database=7/5-7", error), -EPROTO);
	assert_int_equal(check("database=4/3-4", error), -EPROTO);
	assert_string_equal(
		error, "would leave database=5, and there would be no way back (the version that runs reads versions 3 to 4)");
	assert_int_equal(check("database=6", error), -EPROTO);
	assert_string_equal(
		error, "would leave database=5, and there would be no way back (the version that runs reads version 6)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said_can_be_read),
		cmocka_unit_test(test_what_cannot_be_read_is_named),
		cmocka_unit_test(test_a_range_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
