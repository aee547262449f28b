#include "relay/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint32_t sequence(struct slot *slot)
{
	return atomic_load(&slot->sequence);
}

static void test_odd_while_written(void **state)
{
	struct slot slot = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		uint32_t before = sequence(&slot);

		slot_write_begin(&slot);
		assert_int_equal(sequence(&slot) & 1, 1);
		slot_write_end(&slot);
		assert_int_equal(sequence(&slot) & 1, 0);
		assert_int_not_equal(sequence(&slot), before);
	}
}

/* A relay died between the two in a slot that was still free, so no adoption mended it, and the slot is used again. */
static void test_written_again_after_a_writer_died(void **state)
{
	struct slot slot = {0};
	uint32_t dead;

	(void)state;
	slot_write_begin(&slot);
	dead = sequence(&slot);
	slot_write_begin(&slot);
	assert_int_equal(sequence(&slot) & 1, 1);
	assert_int_not_equal(sequence(&slot), dead);
	slot_write_end(&slot);
	assert_int_equal(sequence(&slot) & 1, 0);
}

static void test_moved(void **state)
{
	struct slot slot = {0};

	(void)state;
	slot_moved(&slot, SIDE_BACKEND, 7, 100);
	slot_moved(&slot, SIDE_BACKEND, 8, 200);
	assert_int_equal(atomic_load(&slot.moved[SIDE_BACKEND]), 15);
	assert_int_equal(atomic_load(&slot.moved[SIDE_CLIENT]), 0);
	assert_int_equal(atomic_load(&slot.moved_ms[SIDE_BACKEND]), 200);
	assert_int_equal(atomic_load(&slot.moved_ms[SIDE_CLIENT]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd_while_written),
		cmocka_unit_test(test_written_again_after_a_writer_died),
		cmocka_unit_test(test_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
