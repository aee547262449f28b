#include "supervisor/estate.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct notify notify;
static struct estate estate;
static int manager = -1;

static int set_up(void **state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char name[64];

	(void)state;
	snprintf(name, sizeof name, "@tcpwarden-estate-%d", (int)getpid());
	memcpy(to.sun_path + 1, name + 1, strlen(name) - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(manager, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("FDSTORE", "100", 1);
	notify_init(&notify);
	estate_init(&estate, &notify);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	estate_fini(&estate);
	notify_fini(&notify);
	return close(manager);
}

/* What the service manager is told next; *ret_fd: -1, or what came with it. NULL: nothing. */
static const char *next(int *ret_fd)
{
	static char text[512];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {text, sizeof text - 1};
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n = recvmsg(manager, &msg, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (n < 0)
		return NULL;
	text[n] = '\0';
	if (CMSG_FIRSTHDR(&msg))
		memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof *ret_fd);
	return text;
}

static bool same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static struct estate_name ledger(uint32_t pair, uint32_t number)
{
	return (struct estate_name){ESTATE_LEDGER, pair, number};
}

static void test_every_name_is_read_back(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < ESTATE_KINDS; kind++) {
		struct estate_name name = {(enum estate_kind)kind, 63, 4294967295u}, back;
		char text[ESTATE_NAME_SIZE];

		estate_format_name(&name, text);
		assert_true(estate_is_name(text));
		assert_true(estate_parse_name(text, &back));
		assert_int_equal(back.kind, kind);
		assert_int_equal(back.pair, 63);
		assert_int_equal(back.number, 4294967295u);
		assert_null(strchr(text, ':')); /* what parts names in LISTEN_FDNAMES */
	}
}

static void test_no_other_name_is(void **state)
{
	static const char *const wrong[] = {"", "tree/", "tree/ledger", "tree/ledger/0", "tree/ledger/0.", "tree/ledger/.1",
		"tree/ledger/0.1x", "tree/ledger/00.1", "tree/ledger/0.+1", "tree/ledger/-1.1", "tree/ledger/64.1",
		"tree/ledger/0.4294967296", "tree/nothing/0.1", "tree/ledgers/0.1", "Tree/ledger/0.1", "plc"};
	struct estate_name name;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_false(estate_parse_name(wrong[i], &name));
	assert_false(estate_is_name("plc"));
	assert_true(estate_is_name("tree/nothing/0.1"));
}

static void test_the_manager_is_told_of_each(void **state)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), got;

	(void)state;
	assert_null(getenv("FDSTORE"));
	estate_leave(&estate, ledger(3, 2), fd);
	assert_string_equal(next(&got), "FDSTORE=1\nFDPOLL=0\nFDNAME=tree/ledger/3.2");
	assert_true(same_file(got, fd));
	close(got);
	estate_withdraw(&estate, ledger(3, 2));
	assert_string_equal(next(&got), "FDSTOREREMOVE=1\nFDNAME=tree/ledger/3.2");
	assert_int_equal(got, -1);
	estate_withdraw(&estate, ledger(3, 2));
	assert_null(next(&got));
	close(fd);
}

/* The manager's queue is full: what it has not been told of is not told any more once it is withdrawn, and the rest comes in
 * order. */
static void test_a_manager_that_does_not_read(void **state)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), got;
	uint32_t count = 0;
	char text[128];

	(void)state;
	while (estate.store.count < 3)
		estate_leave(&estate, ledger(0, ++count), fd);
	estate_withdraw(&estate, ledger(0, count - 1)); /* waits to be told */
	estate_withdraw(&estate, ledger(0, 1));         /* was told */
	estate_leave(&estate, ledger(0, 1), fd);
	for (uint32_t i = 1; i <= count; i++) {
		if (i == count - 1)
			continue;
		snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=tree/ledger/0.%u", i);
		assert_string_equal(next(&got), text);
		close(got);
		store_push(&estate.store);
	}
	assert_string_equal(next(&got), "FDSTOREREMOVE=1\nFDNAME=tree/ledger/0.1");
	assert_string_equal(next(&got), "FDSTORE=1\nFDPOLL=0\nFDNAME=tree/ledger/0.1");
	close(got);
	assert_null(next(&got));
	assert_true(store_push(&estate.store));
	close(fd);
}

static void test_nothing_is_left_at_the_end(void **state)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), got;

	(void)state;
	estate_leave(&estate, ledger(0, 1), fd);
	next(&got);
	close(got);
	estate_withdraw_all(&estate);
	assert_string_equal(next(&got), "FDSTOREREMOVE=1\nFDNAME=tree/ledger/0.1");
	estate_leave(&estate, ledger(0, 2), fd);
	assert_null(next(&got));
	assert_int_equal(estate.count, 0);
	close(fd);
}

static void test_without_a_store_nobody_is_told(void **state)
{
	int got;

	(void)state;
	estate_fini(&estate);
	unsetenv("FDSTORE");
	estate_init(&estate, &notify);
	assert_int_equal(estate_open(&estate), 0);
	estate_leave(&estate, ledger(0, 1), STDIN_FILENO);
	assert_null(next(&got));
	assert_int_equal(estate.count, 2); /* for an exec in place they are there all the same */
}

static void test_numbers_are_read_back(void **state)
{
	struct estate successor;
	int got;

	(void)state;
	assert_int_equal(estate_open(&estate), 0);
	next(&got);
	estate.numbers->tree = 42;
	estate.numbers->pair_count = 3;
	estate_init(&successor, &notify);
	assert_int_equal(estate_read(&successor), -ENOENT);
	estate_find(&successor, "tree/numbers/0.0", got);
	assert_int_equal(estate_read(&successor), 0);
	assert_int_equal(successor.numbers->tree, 42);
	estate_discard(&successor); /* they are taken */
	assert_int_equal(successor.count, 1);

	estate.numbers->pair_count = CENSUS_RELAYS + 1;
	estate_fini(&successor);
	estate_init(&successor, &notify);
	estate_find(&successor, "tree/numbers/0.0", dup(estate.numbers_fd));
	assert_int_equal(estate_read(&successor), -EINVAL);
	estate.numbers->version++;
	estate_fini(&successor);
	estate_init(&successor, &notify);
	estate_find(&successor, "tree/numbers/0.0", dup(estate.numbers_fd));
	assert_int_equal(estate_read(&successor), -EPROTO);
	estate_fini(&successor);
}

static void test_what_is_found(void **state)
{
	uint32_t number;
	int got, fd;

	(void)state;
	estate_find(&estate, "tree/ledger/1.7", open("/dev/zero", O_RDONLY));
	assert_true(estate_has(&estate, ledger(1, 7)));
	assert_false(estate_any(&estate, ESTATE_LEDGER, 0, &number));
	assert_true(estate_any(&estate, ESTATE_LEDGER, 1, &number));
	assert_int_equal(number, 7);
	fd = estate_take(&estate, ledger(1, 7));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(estate_take(&estate, ledger(1, 7)), -1);
	assert_false(estate_any(&estate, ESTATE_LEDGER, 1, &number));

	estate_find(&estate, "tree/census/0.0", open("/dev/zero", O_RDONLY));
	estate_discard(&estate);
	assert_string_equal(next(&got), "FDSTOREREMOVE=1\nFDNAME=tree/census/0.0");
	assert_int_equal(estate.count, 1);
	assert_false(estate.rubbish);
	close(fd);
}

static void test_rubbish_is_closed(void **state)
{
	int fd = open("/dev/zero", O_RDONLY), got;

	(void)state;
	estate_find(&estate, "tree/ledger/1", fd);
	assert_true(estate.rubbish);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_string_equal(next(&got), "FDSTOREREMOVE=1\nFDNAME=tree/ledger/1");
}

static void test_twice_the_same_is_rubbish(void **state)
{
	(void)state;
	estate_find(&estate, "tree/lock/0.0", dup(STDIN_FILENO));
	assert_false(estate.rubbish);
	estate_find(&estate, "tree/lock/0.0", dup(STDIN_FILENO));
	assert_true(estate.rubbish);
	close(estate_take(&estate, (struct estate_name){ESTATE_LOCK, 0, 0}));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_name_is_read_back),
		TEST(test_no_other_name_is),
		TEST(test_the_manager_is_told_of_each),
		TEST(test_a_manager_that_does_not_read),
		TEST(test_nothing_is_left_at_the_end),
		TEST(test_without_a_store_nobody_is_told),
		TEST(test_numbers_are_read_back),
		TEST(test_what_is_found),
		TEST(test_rubbish_is_closed),
		TEST(test_twice_the_same_is_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
