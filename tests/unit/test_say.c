#include "wire/say.h"

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
#include <unistd.h>

static int saved, ends[2];

static void use(int fd)
{
	dup2(fd, STDERR_FILENO);
	say_open("test");
}

static int set_up(void **state)
{
	(void)state;
	saved = dup(STDERR_FILENO);
	return pipe2(ends, O_CLOEXEC) < 0 ? -1 : fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static int tear_down(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[0]);
	return close(ends[1]);
}

static const char *said(void)
{
	static char text[4096];
	ssize_t n = read(ends[0], text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_a_line(void **state)
{
	const char *text;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	use(ends[1]);
	say(LOG_WARNING, "three\nlines %d\x1b[2J", 3);
	text = said();
	assert_string_equal(strchr(text, ' '), " warning test: three?lines 3?[2J\n");
}

static void test_a_long_line_is_cut(void **state)
{
	char longer[3000];
	const char *text;

	(void)state;
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	use(ends[1]);
	say(LOG_ERR, "%s", longer);
	text = said();
	assert_true(strlen(text) < 1024);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_the_journal_gets_priorities(void **state)
{
	struct stat st;
	char stream[64];

	(void)state;
	fstat(ends[1], &st);
	snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	use(ends[1]);
	say(LOG_NOTICE, "ready");
	assert_string_equal(said(), "<5>test: ready\n");
	setenv("JOURNAL_STREAM", "1:1", 1); /* of someone else's stderr */
	say_open("test");
	say(LOG_NOTICE, "ready");
	assert_null(strstr(said(), "<5>"));
	unsetenv("JOURNAL_STREAM");
}

static void test_a_full_pipe_costs_lines_not_time(void **state)
{
	char text[4096];
	uint64_t before = say_dropped();
	int i;

	(void)state;
	use(ends[1]);
	for (i = 0; i < 100000 && say_dropped() == before; i++)
		say(LOG_INFO, "fill it up with lines until there is no room any more");
	assert_true(say_dropped() > before);
	while (read(ends[0], text, sizeof text) > 0)
		continue;
	say(LOG_INFO, "here again");
	assert_non_null(strstr(said(), "warning test: 1 lines could not be written\n"));
}

static void test_a_full_socket(void **state)
{
	int pair[2];
	uint64_t before = say_dropped();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	use(pair[1]);
	for (int i = 0; i < 100000 && say_dropped() == before; i++)
		say(LOG_INFO, "fill it up with lines until there is no room any more");
	assert_true(say_dropped() > before);
	close(pair[0]);
	say(LOG_INFO, "to no one: no SIGPIPE");
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_long_line_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_journal_gets_priorities, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_pipe_costs_lines_not_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_socket, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("say", tests, NULL, NULL);
}
