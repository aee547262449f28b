/* The wheel calls each deadline once, not early, and not a tick late. */
#include "relay/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ENTRIES = 2000 };

static struct wheel wheel;
static struct wheel_entry entries[ENTRIES];
static unsigned called[ENTRIES];
static uint64_t now_ms;

static void on_due(void *context, struct wheel_entry *entry)
{
	assert_ptr_equal(context, &wheel);
	assert_true(entry->due_ms <= now_ms);
	assert_true(now_ms - entry->due_ms <= 2 * WHEEL_TICK_MS);
	called[entry - entries]++;
}

static int setup(void **state)
{
	(void)state;
	now_ms = 1000003;
	wheel_init(&wheel, now_ms);
	for (int i = 0; i < ENTRIES; i++) {
		entries[i] = (struct wheel_entry){0};
		called[i] = 0;
	}
	return 0;
}

static void each_deadline_is_called_once_and_in_time(void **state)
{
	(void)state;
	srandom(7);
	for (int i = 0; i < ENTRIES; i++)
		wheel_set(&wheel, &entries[i], now_ms + (uint64_t)random() % 40000); /* almost four turns */
	while (wheel.count) {
		int wait_ms = wheel_wait_ms(&wheel, now_ms);

		assert_true(wait_ms >= 0 && wait_ms <= WHEEL_BUCKETS * WHEEL_TICK_MS);
		now_ms += (uint64_t)(wait_ms ? wait_ms : 1);
		wheel_turn(&wheel, now_ms, on_due, &wheel);
	}
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
	for (int i = 0; i < ENTRIES; i++)
		assert_int_equal(called[i], 1);
}

static void removed_and_moved_ones_are_not_called_where_they_were(void **state)
{
	(void)state;
	wheel_set(&wheel, &entries[0], now_ms + 50);
	wheel_set(&wheel, &entries[1], now_ms + 50);
	wheel_set(&wheel, &entries[2], now_ms + 50);
	wheel_remove(&wheel, &entries[0]);
	wheel_remove(&wheel, &entries[0]);
	wheel_set(&wheel, &entries[1], now_ms + 20000);
	now_ms += 60;
	wheel_turn(&wheel, now_ms, on_due, &wheel);
	assert_int_equal(called[0], 0);
	assert_int_equal(called[1], 0);
	assert_int_equal(called[2], 1);
	assert_int_equal(wheel.count, 1);
}

static void on_due_removes_the_next(void *context, struct wheel_entry *entry)
{
	on_due(context, entry);
	wheel_remove(&wheel, entry == &entries[0] ? &entries[1] : &entries[0]);
}

static void a_callback_may_remove_another_that_is_due(void **state)
{
	(void)state;
	wheel_set(&wheel, &entries[0], now_ms + 5);
	wheel_set(&wheel, &entries[1], now_ms + 5);
	now_ms += 20;
	wheel_turn(&wheel, now_ms, on_due_removes_the_next, &wheel);
	assert_int_equal(called[0] + called[1], 1);
	assert_int_equal(wheel.count, 0);
}

static void a_long_sleep_calls_everything(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		wheel_set(&wheel, &entries[i], now_ms + 1000u * (unsigned)i);
	now_ms += 1000000;
	for (int i = 0; i < 100; i++)
		entries[i].due_ms = now_ms; /* late by the sleep, not by the wheel */
	wheel_turn(&wheel, now_ms, on_due, &wheel);
	for (int i = 0; i < 100; i++)
		assert_int_equal(called[i], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_deadline_is_called_once_and_in_time, setup),
		cmocka_unit_test_setup(removed_and_moved_ones_are_not_called_where_they_were, setup),
		cmocka_unit_test_setup(a_callback_may_remove_another_that_is_due, setup),
		cmocka_unit_test_setup(a_long_sleep_calls_everything, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
