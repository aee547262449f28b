#include "supervisor/passage.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct made {
	struct passage *passage;
	int fd;
};

static int make(void **state)
{
	static struct made made;

	assert_int_equal(passage_create(&made.passage, &made.fd), 0);
	*state = &made;
	return 0;
}

static int drop(void **state)
{
	struct made *made = *state;

	passage_close(made->passage);
	close(made->fd);
	return 0;
}

static int open_result(const struct made *made)
{
	struct passage *p;
	int r = passage_open(&p, made->fd);

	if (r == 0)
		passage_close(p);
	return r;
}

static void test_who_arrives_finds_what_was_listed(void **state)
{
	struct made *made = *state;
	struct passage *p;

	assert_int_equal(passage_add(made->passage, "tree/ledger/0.1", STDIN_FILENO), 0);
	assert_int_equal(passage_add(made->passage, "tree/program/1.7", STDERR_FILENO), 0);
	made->passage->number[PASSAGE_FORMER] = 7;
	made->passage->number[PASSAGE_NEW] = 8;
	made->passage->back = 1;
	snprintf(made->passage->error, sizeof made->passage->error, "why");
	assert_int_equal(passage_open(&p, made->fd), 0);
	assert_int_equal(passage_find(p, "tree/ledger/0.1"), STDIN_FILENO);
	assert_int_equal(passage_find(p, "tree/ledger/0.2"), -1);
	assert_int_equal(passage_find_program(p, PASSAGE_FORMER, PROGRAM_STEWARD), STDERR_FILENO);
	assert_int_equal(passage_find_program(p, PASSAGE_NEW, PROGRAM_STEWARD), -1);
	assert_int_equal(p->back, 1);
	assert_string_equal(p->error, "why");
	passage_close(p);
}

static void test_stays_open_over_an_exec_or_not(void **state)
{
	struct made *made = *state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	passage_add(made->passage, "a", fd);
	passage_keep(made->passage, made->fd, true);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(fcntl(made->fd, F_GETFD), 0);
	passage_keep(made->passage, made->fd, false);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(made->fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void test_another_version_is_refused(void **state)
{
	struct made *made = *state;

	made->passage->version++;
	assert_int_equal(open_result(made), -EPROTO);
	made->passage->version--;
	made->passage->size++;
	assert_int_equal(open_result(made), -EPROTO);
	made->passage->size--;
	assert_int_equal(open_result(made), 0);
}

static void test_rubbish_is_refused(void **state)
{
	struct made *made = *state;
	struct passage *p = made->passage;

	p->count = PASSAGE_ITEMS_MAX + 1;
	assert_int_equal(open_result(made), -EINVAL);
	p->count = 0;
	passage_add(p, "closed", 999);
	assert_int_equal(open_result(made), -EINVAL);
	p->items[0].fd = STDIN_FILENO;
	memset(p->items[0].name, 'x', sizeof p->items[0].name);
	assert_int_equal(open_result(made), -EINVAL);
	p->count = 0;
	memset(p->path[PROGRAM_RELAY], '/', sizeof p->path[PROGRAM_RELAY]);
	assert_int_equal(open_result(made), -EINVAL);
	assert_true(passage_open(&p, STDIN_FILENO) < 0);
}

static void test_it_is_full_some_time(void **state)
{
	struct made *made = *state;

	for (int i = 0; i < PASSAGE_ITEMS_MAX; i++)
		assert_int_equal(passage_add(made->passage, "a", STDIN_FILENO), 0);
	assert_int_equal(passage_add(made->passage, "a", STDIN_FILENO), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_arrives_finds_what_was_listed, make, drop),
		cmocka_unit_test_setup_teardown(test_stays_open_over_an_exec_or_not, make, drop),
		cmocka_unit_test_setup_teardown(test_another_version_is_refused, make, drop),
		cmocka_unit_test_setup_teardown(test_rubbish_is_refused, make, drop),
		cmocka_unit_test_setup_teardown(test_it_is_full_some_time, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
