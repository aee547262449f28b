#include "wire/ledger.h"
#include "wire/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(who_word(WHO_NONE), "-");
	assert_string_equal(who_word(WHO_CLIENT), "client");
	assert_string_equal(who_word(WHO_SYSTEM), "system");
	assert_string_equal(how_word(HOW_CONNECT_TIMEOUT), "connect_timeout");
	assert_string_equal(how_word(HOW_LOST), "lost");
	assert_string_equal(operation_word(OPERATION_RECEIVE), "receive");
}

/* Numbers from a ledger are a relay's claims. */
static void test_numbers_out_of_range(void **state)
{
	(void)state;
	assert_string_equal(who_word(WHO_COUNT), "?");
	assert_string_equal(how_word(255), "?");
	assert_string_equal(operation_word(OPERATION_COUNT), "?");
	assert_string_equal(slot_state_word(SLOT_STATES), "?");
	assert_string_equal(slot_state_word(~0u), "?");
}

/* They stand in logs as single words: nothing in them may need quoting, and no two may be the same. */
static void check_words(const char *(*word)(unsigned), unsigned first, unsigned count)
{
	for (unsigned i = first; i < count; i++) {
		assert_non_null(word(i));
		assert_int_equal(strspn(word(i), "abcdefghijklmnopqrstuvwxyz_"), strlen(word(i)));
		assert_true(word(i)[0] != '\0');
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(word(i), word(k));
	}
}

static void test_words_are_words(void **state)
{
	(void)state;
	check_words(who_word, 1, WHO_COUNT);
	check_words(how_word, 1, HOW_COUNT);
	check_words(operation_word, 1, OPERATION_COUNT);
	check_words(slot_state_word, 0, SLOT_STATES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_numbers_out_of_range),
		cmocka_unit_test(test_words_are_words),
	};

	return cmocka_run_group_tests_name("reason", tests, NULL, NULL);
}
