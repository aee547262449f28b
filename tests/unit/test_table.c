/* What a relay knows of the descriptors that it finds is what the kernel says of each. */
#include "relay/relay.h"
#include "relay/table.h"
#include "wire/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST = 100, COUNT = 700, UNLISTED = FIRST + COUNT, FAR = 900 };

static struct relay relay;

/* COUNT descriptors, which slots list two by two. */
static int start(void **state)
{
	int closed = close_range(HOLDER_INHERITED_END, ~0u, 0), ledger = ledger_create(1, 0, 0, COUNT, (struct ledger_trial){0});

	(void)state;
	assert_return_code(closed, errno);
	for (int fd = 0; fd < HOLDER_INHERITED_END; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			assert_int_equal(fcntl(ledger, F_DUPFD, fd), fd);
	assert_return_code(ledger_map(&relay.ledger, ledger, true), 0);
	relay.header = relay.ledger.header;
	relay.header->plan_fd = -1;
	for (int i = 0; i < LEDGER_PIPES; i++)
		relay.header->pipes[i].fd[0] = relay.header->pipes[i].fd[1] = -1;
	for (int fd = FIRST; fd < FIRST + COUNT; fd++) {
		struct slot *slot = &relay.ledger.slots[(fd - FIRST) / SIDES];

		assert_int_equal(fcntl(ledger, F_DUPFD, fd), fd);
		atomic_store(&slot->state, SLOT_RELAYING);
		slot->fd[(fd - FIRST) % SIDES] = fd;
	}
	atomic_store(&relay.header->high_water, COUNT / SIDES);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	ledger_unmap(&relay.ledger);
	return 0;
}

static void expect_truth(void)
{
	struct table table;

	assert_int_equal(table_init(&table, &relay), 0);
	assert_true(table.size > FAR);
	for (int fd = 0; fd < (int)table.size; fd++) {
		assert_int_equal(table_is(&table, fd, TABLE_OPEN), fcntl(fd, F_GETFD) >= 0);
		assert_int_equal(
			table_is(&table, fd, TABLE_LISTED), fd < HOLDER_INHERITED_END || (fd >= FIRST && fd < FIRST + COUNT));
	}
	assert_false(table_is(&table, -1, 0) || table_is(&table, (int)table.size, 0));
	table_fini(&table);
}

static void test_all_are_open(void **state)
{
	(void)state;
	expect_truth();
}

static void test_unlisted(void **state)
{
	(void)state;
	assert_int_equal(fcntl(FIRST, F_DUPFD, UNLISTED), UNLISTED);
	assert_int_equal(fcntl(FIRST, F_DUPFD, FAR), FAR);
	expect_truth();
}

static void test_listed_and_not_open(void **state)
{
	(void)state;
	close(FIRST + 7);
	expect_truth();
	/* As many as are listed are open, though not the same. */
	assert_int_equal(fcntl(FIRST, F_DUPFD, UNLISTED), UNLISTED);
	expect_truth();
}

static void test_what_is_listed_changes(void **state)
{
	struct table table;

	(void)state;
	assert_int_equal(table_init(&table, &relay), 0);
	atomic_store(&relay.ledger.slots[0].state, SLOT_FREE);
	table_list(&table, &relay);
	assert_int_equal(table.of[FIRST], TABLE_OPEN);
	assert_int_equal(table.of[FIRST + SIDES], TABLE_OPEN | TABLE_LISTED);
	table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_are_open, start, stop),
		cmocka_unit_test_setup_teardown(test_unlisted, start, stop),
		cmocka_unit_test_setup_teardown(test_listed_and_not_open, start, stop),
		cmocka_unit_test_setup_teardown(test_what_is_listed_changes, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
