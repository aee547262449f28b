#include "supervisor/notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct notify notify;
static int manager = -1;

static int set_up(void **state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char name[64];

	(void)state;
	snprintf(name, sizeof name, "@tcpwarden-notify-%d", (int)getpid());
	memcpy(to.sun_path + 1, name + 1, strlen(name) - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(manager, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", name, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	notify_fini(&notify);
	return close(manager);
}

static const char *next(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof text - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

static void test_it_says_what_it_is_told(void **state)
{
	(void)state;
	notify_init(&notify);
	assert_null(getenv("NOTIFY_SOCKET"));
	notify_say(&notify, "STATUS=%d sessions", 3);
	assert_string_equal(next(), "STATUS=3 sessions");
	assert_null(next());
}

static void test_a_manager_that_does_not_read(void **state)
{
	int sent = 0, got = 0, ready = 0;
	const char *text;

	(void)state;
	notify_init(&notify);
	while (!notify.count && sent < 100000)
		notify_say(&notify, "STATUS=%d", sent++);
	assert_true(notify.count == 1);
	notify_say(&notify, "READY=1");
	while (next())
		got++;
	assert_int_equal(got, sent - 1);
	notify_tick(&notify, 1);
	assert_int_equal(notify.count, 0);
	while ((text = next()))
		ready |= strcmp(text, "READY=1") == 0;
	assert_true(ready);
}

static void test_the_newest_is_kept(void **state)
{
	char text[32];
	int n = 0;

	(void)state;
	notify_init(&notify);
	while (!notify.count)
		notify_say(&notify, "STATUS=fill");
	while (n < 3 * NOTIFY_KEPT)
		notify_say(&notify, "STATUS=%d", n++);
	assert_int_equal(notify.count, NOTIFY_KEPT);
	while (next())
		continue;
	for (int i = n - NOTIFY_KEPT; i < n; i++) {
		const char *got;

		notify_tick(&notify, 1);
		got = next();
		snprintf(text, sizeof text, "STATUS=%d", i);
		assert_non_null(got);
		assert_string_equal(got, text);
	}
	assert_null(next());
}

static void test_watchdog(void **state)
{
	(void)state;
	setenv("WATCHDOG_USEC", "1000000", 1);
	notify_init(&notify);
	assert_null(getenv("WATCHDOG_USEC"));
	notify_tick(&notify, 10000);
	assert_string_equal(next(), "WATCHDOG=1");
	notify_tick(&notify, 10499);
	assert_null(next());
	notify_tick(&notify, 10500);
	assert_string_equal(next(), "WATCHDOG=1");
}

static void test_a_watchdog_of_another_process(void **state)
{
	(void)state;
	setenv("WATCHDOG_USEC", "1000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init(&notify);
	notify_tick(&notify, 10000);
	assert_null(next());
}

static void test_no_manager(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_init(&notify);
	notify_say(&notify, "READY=1");
	notify_tick(&notify, 1);
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_init(&notify);
	assert_int_equal(notify.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_says_what_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_manager_that_does_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_newest_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_watchdog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_watchdog_of_another_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_manager, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
