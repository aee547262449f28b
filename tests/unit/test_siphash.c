#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Of the bytes 0, 1, 2, ... under the key 0, as CPython 3.11 and later hash them with PYTHONHASHSEED=0. */
static void as_others_compute_it(void **state)
{
	uint8_t bytes[24];
	uint64_t words[3], key[2] = {0, 0};

	(void)state;
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		skip();
	for (uint8_t i = 0; i < sizeof bytes; i++)
		bytes[i] = i;
	memcpy(words, bytes, sizeof words);
	assert_true(siphash_words(key, words, 1) == 0xead411e67ebe2eea);
	assert_true(siphash_words(key, words, 3) == 0x31185a47af932f3a);
}

static void key_and_length_count(void **state)
{
	uint64_t words[3] = {0, 0, 0}, none[2] = {0, 0}, low[2] = {1, 0}, high[2] = {0, 1};

	(void)state;
	assert_true(siphash_words(none, words, 3) != siphash_words(low, words, 3));
	assert_true(siphash_words(none, words, 3) != siphash_words(high, words, 3));
	assert_true(siphash_words(none, words, 3) != siphash_words(none, words, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_others_compute_it),
		cmocka_unit_test(key_and_length_count),
	};

	return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
