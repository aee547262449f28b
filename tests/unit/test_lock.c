#include "supervisor/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char parent[64], directory[96], error[512];

static int set_up(void **state)
{
	(void)state;
	snprintf(parent, sizeof parent, "/tmp/tcpwarden-lock-XXXXXX");
	if (!mkdtemp(parent))
		return -1;
	snprintf(directory, sizeof directory, "%s/state", parent);
	return 0;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/lock", directory);
	unlink(path);
	rmdir(directory);
	return rmdir(parent);
}

static void test_one_at_a_time(void **state)
{
	char names_us[64];
	int fd = lock_take(directory, 0, error), copy;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(lock_take(directory, 0, error), -EWOULDBLOCK);
	snprintf(names_us, sizeof names_us, "is in use by tcpwarden process %d; stop that one (kill %d)", (int)getpid(),
		(int)getpid());
	assert_non_null(strstr(error, names_us));
	copy = dup(fd); /* what a holder inherits */
	close(fd);
	assert_int_equal(lock_take(directory, 0, error), -EWOULDBLOCK);
	close(copy);
	fd = lock_take(directory, 0, error);
	assert_true(fd >= 0);
	close(fd);
}

/* Its taker has died, and who inherited it lives on. */
static void test_the_old_tree_is_still_ending(void **state)
{
	int gate[2];
	char byte;
	pid_t taker;

	(void)state;
	assert_int_equal(pipe(gate), 0);
	taker = fork();
	if (taker == 0) {
		if (lock_take(directory, 0, error) < 0)
			_exit(1);
		if (fork() == 0) {
			close(gate[1]);
			(void)!read(gate[0], &byte, 1);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(taker, NULL, 0);
	assert_int_equal(lock_take(directory, 0, error), -EWOULDBLOCK);
	assert_non_null(strstr(error, "that has died; they end by themselves"));
	close(gate[0]);
	close(gate[1]);
}

static void test_where_nothing_can_be_made(void **state)
{
	char below[128];

	(void)state;
	snprintf(below, sizeof below, "%s/no/where", parent);
	assert_int_equal(lock_take(below, 0, error), -ENOENT);
	assert_non_null(strstr(error, below));
	assert_non_null(strstr(error, "install -d"));
	assert_int_equal(lock_take("/dev/null", 0, error), -ENOTDIR);
}

static void test_no_link_is_followed(void **state)
{
	char path[128];
	int fd = lock_take(directory, 0, error);

	(void)state;
	close(fd);
	snprintf(path, sizeof path, "%s/lock", directory);
	unlink(path);
	assert_int_equal(symlink("/tmp/elsewhere", path), 0);
	assert_int_equal(lock_take(directory, 0, error), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_old_tree_is_still_ending, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_where_nothing_can_be_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_link_is_followed, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
