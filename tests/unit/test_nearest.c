#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void counts_edits(void **state)
{
	char longest[100];

	(void)state;
	assert_int_equal(nearest_distance("listen", "listen"), 0);
	assert_int_equal(nearest_distance("Listen", "listen"), 0);
	assert_int_equal(nearest_distance("lisen", "listen"), 1);
	assert_int_equal(nearest_distance("listenn", "listen"), 1);
	assert_int_equal(nearest_distance("lusten", "listen"), 1);
	assert_int_equal(nearest_distance("lsiten", "listen"), 1);
	assert_int_equal(nearest_distance("", "listen"), 6);
	assert_int_equal(nearest_distance("listen", ""), 6);
	assert_int_equal(nearest_distance("kitten", "sitting"), 3);
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(nearest_distance(longest, "a"), 99);
}

static void finds_the_likely_word(void **state)
{
	static const char *const known[] = {"linger", "linger_timeout", "keepalive", "nodelay", "name"};
	const size_t count = sizeof known / sizeof *known;

	(void)state;
	assert_string_equal(nearest_word("lingre", known, count), "linger");
	assert_string_equal(nearest_word("linger_timeuot", known, count), "linger_timeout");
	assert_string_equal(nearest_word("no_delay", known, count), "nodelay");
	assert_string_equal(nearest_word("keep_alive", known, count), "keepalive");
	assert_null(nearest_word("bananas", known, count));
	assert_null(nearest_word("x", known, count));
	assert_null(nearest_word("name", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_edits),
		cmocka_unit_test(finds_the_likely_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
