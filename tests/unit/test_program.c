#include "supervisor/program.h"

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
#include <unistd.h>

static struct notify notify;
static struct estate estate;
static char directory[] = "/tmp/tcpwarden-program-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_init(&notify);
	estate_init(&estate, &notify);
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[PATH_MAX];

	(void)state;
	estate_fini(&estate);
	notify_fini(&notify);
	snprintf(command, sizeof command, "rm -r %s", directory);
	return system(command);
}

static void install(const char *text)
{
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		char path[PATH_MAX];
		FILE *f;

		snprintf(path, sizeof path, "%s/%s", directory, program_words[kind]);
		unlink(path);
		f = fopen(path, "we");
		fputs(text, f);
		fclose(f);
	}
}

static struct program_set opened(uint32_t number)
{
	struct program_set paths = {.number = number - 1}, set;
	const char *failed;

	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		snprintf(paths.of[kind].path, PATH_MAX, "%s/%s", directory, program_words[kind]);
	assert_int_equal(program_set_open_anew(&set, &paths, &failed), 0);
	assert_int_equal(set.number, number);
	return set;
}

static void test_the_same_files_are_the_same_set(void **state)
{
	struct program_set a, b, c;

	(void)state;
	install("one");
	a = opened(1);
	b = opened(2);
	install("one");
	c = opened(3);
	assert_true(program_set_is(&a, &b));
	assert_false(program_set_is(&a, &c)); /* as before, but installed anew */
	program_set_close(&b, &estate);
	assert_false(program_set_is(&a, &b));
	program_set_close(&a, &estate);
	program_set_close(&c, &estate);
}

static void test_a_successor_finds_them(void **state)
{
	struct program_set left, found = {0};
	char name[ESTATE_NAME_SIZE];
	struct estate_name which = program_name(PROGRAM_RELAY, 7);

	(void)state;
	install("one");
	left = opened(7);
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		which = program_name(kind, 7);
		estate_format_name(&which, name);
		assert_int_equal(program_set_take(&found, &estate, 7, &left), -ENOENT); /* not whole */
		estate_find(&estate, name, fcntl(left.of[kind].fd, F_DUPFD_CLOEXEC, 0));
	}
	assert_int_equal(program_set_take(&found, &estate, 8, &left), -ENOENT);
	assert_int_equal(program_set_take(&found, &estate, 7, &left), 0);
	assert_int_equal(found.number, 7);
	assert_true(program_set_is(&found, &left));
	assert_string_equal(found.of[PROGRAM_STEWARD].path, left.of[PROGRAM_STEWARD].path);
	estate_discard(&estate); /* nothing of it: it was taken */
	assert_true(program_set_is(&found, &left));
	program_set_close(&found, &estate);
	assert_int_equal(estate.count, 0);
	left.number = 0;
	program_set_close(&left, &estate);
}

static void test_what_is_closed_is_withdrawn(void **state)
{
	struct program_set set;

	(void)state;
	install("one");
	set = opened(2);
	program_set_leave(&set, &estate);
	assert_true(estate_has(&estate, program_name(PROGRAM_SUPERVISOR, 2)));
	assert_int_equal(estate.count, PROGRAMS);
	program_set_close(&set, &estate);
	assert_int_equal(estate.count, 0);
}

static void test_a_missing_program_is_named(void **state)
{
	struct program_set set = {0}, paths;
	const char *failed;
	char path[PATH_MAX];

	(void)state;
	install("one");
	paths = opened(1);
	program_set_close(&paths, &estate);
	snprintf(path, sizeof path, "%s/relay", directory);
	unlink(path);
	assert_int_equal(program_set_open_anew(&set, &paths, &failed), -ENOENT);
	assert_string_equal(failed, path);
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		assert_int_equal(set.of[kind].fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_same_files_are_the_same_set, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_successor_finds_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_closed_is_withdrawn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_missing_program_is_named, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
