#include "base/duration.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void parses_each_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {{"0s", 0}, {"1ms", 1}, {"500ms", 500}, {"20s", 20000}, {"15m", 900000}, {"2h", 7200000}, {"1d", 86400000},
		{"007s", 7000}, {"18446744073709551615ms", UINT64_MAX}};
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(duration_parse(cases[i].text, &ms), 0);
		assert_true(ms == cases[i].ms);
	}
}

static void tells_what_is_wrong(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {{"20", -EDOM}, {"0", -EDOM}, {"", -EINVAL}, {"s", -EINVAL}, {"20 s", -EINVAL}, {" 20s", -EINVAL},
		{"20S", -EINVAL}, {"1.5s", -EINVAL}, {"-5s", -EINVAL}, {"+5s", -EINVAL}, {"20seconds", -EINVAL},
		{"1h30m", -EINVAL}, {"18446744073709551616ms", -ERANGE}, {"18446744073709551615s", -ERANGE},
		{"99999999999999999999999", -ERANGE}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t ms = 42;
		assert_int_equal(duration_parse(cases[i].text, &ms), cases[i].error);
		assert_int_equal(ms, 42);
	}
}

static void formats_the_shortest_exact_form(void **state)
{
	static const char *const texts[] = {"0s", "1ms", "1500ms", "90s", "2m", "1h", "25h", "24d"};
	char text[DURATION_TEXT];
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(duration_parse(texts[i], &ms), 0);
		duration_format(ms, text);
		assert_string_equal(text, texts[i]);
	}
	duration_format(120000, text);
	assert_string_equal(text, "2m");
	duration_format(UINT64_MAX, text);
	assert_string_equal(text, "18446744073709551615ms");
}

static void says_it(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {{0, "0 s"}, {1, "0.1 s"}, {1000, "1 s"}, {3550, "3.6 s"}, {9999, "10 s"}, {12600, "13 s"}, {60000, "60 s"},
		{120000, "120 s"}, {127000, "2 m 7 s"}, {924600, "15 m 25 s"}, {900000, "15 m"}, {3600000, "1 h"},
		{3601000, "60 m 1 s"}, {7200000, "2 h"}, {7202000, "2 h 1 m"}, {172799999, "2 d"}, {172801000, "2 d 1 h"},
		{24ull * 86400000, "24 d"}, {UINT64_MAX, "213503982334 d 15 h"}};
	char text[DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		duration_say(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void says_what_has_passed(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {{0, "0 s"}, {99, "0 s"}, {450, "0.4 s"}, {999, "0.9 s"}, {1000, "1 s"}, {2999, "2 s"}, {42999, "42 s"},
		{125999, "2 m 5 s"}, {301000, "5 m"}, {7199999, "119 m"}, {2 * 3600000 + 61000, "2 h 1 m"},
		{3 * 3600000 + 61000, "3 h"}, {49 * 3600000, "2 d 1 h"}, {14 * 86400000ull + 3600000, "14 d"},
		{UINT64_MAX, "213503982334 d"}};
	char text[DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		duration_say_passed(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_each_unit),
		cmocka_unit_test(tells_what_is_wrong),
		cmocka_unit_test(formats_the_shortest_exact_form),
		cmocka_unit_test(says_it),
		cmocka_unit_test(says_what_has_passed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
