#include "supervisor/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct options options;
static char error[256];

static int parse(const char *const *words)
{
	char *argv[8];
	int argc = 0;

	while (words[argc]) {
		argv[argc] = (char *)(uintptr_t)words[argc];
		argc++;
	}
	argv[argc] = NULL;
	memset(&options, 0, sizeof options);
	*error = '\0';
	return options_parse(&options, argc, argv, error);
}
#define PARSE(...) parse((const char *const[]){"tcpwarden", ##__VA_ARGS__, NULL})

static void test_nothing_runs_the_default(void **state)
{
	(void)state;
	assert_int_equal(PARSE(), 0);
	assert_int_equal(options.command, COMMAND_RUN);
	assert_string_equal(options.config, TCPWARDEN_SYSCONFDIR "/tcpwarden/tcpwarden.conf");
}

static void test_config(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-c", "a.conf"), 0);
	assert_string_equal(options.config, "a.conf");
	assert_int_equal(PARSE("--config=b.conf", "--check"), 0);
	assert_string_equal(options.config, "b.conf");
	assert_int_equal(options.command, COMMAND_CHECK);
	assert_int_equal(PARSE("--config", ""), -EINVAL);
	assert_int_equal(PARSE("--config"), -EINVAL);
	assert_string_equal(error, "--config needs the name of a file");
}

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--check", "c.conf"), 0);
	assert_int_equal(options.command, COMMAND_CHECK);
	assert_string_equal(options.config, "c.conf");
	assert_int_equal(PARSE("--version"), 0);
	assert_int_equal(options.command, COMMAND_VERSION);
	assert_int_equal(PARSE("-h"), 0);
	assert_int_equal(options.command, COMMAND_HELP);
	assert_int_equal(PARSE("--end-tree"), 0);
	assert_int_equal(options.command, COMMAND_END_TREE);
	assert_int_equal(PARSE("--check", "--check"), 0);
	assert_int_equal(PARSE("--check", "--version"), -EINVAL);
}

static void test_explain(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--explain"), 0);
	assert_int_equal(options.command, COMMAND_EXPLAIN);
	assert_null(options.service);
	assert_int_equal(PARSE("-c", "a.conf", "--explain", "plc"), 0);
	assert_string_equal(options.config, "a.conf");
	assert_string_equal(options.service, "plc");
	assert_int_equal(PARSE("--explain", "plc", "-c", "b.conf"), 0);
	assert_string_equal(options.config, "b.conf");
	assert_string_equal(options.service, "plc");
	assert_int_equal(PARSE("--explain", "plc", "vpn"), -EINVAL);
	assert_int_equal(PARSE("--explain", ""), -EINVAL);
	assert_int_equal(PARSE("--explain", "--check"), -EINVAL);
}

static void test_what_is_wrong_is_named(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--frobnicate"), -EINVAL);
	assert_non_null(strstr(error, "--frobnicate"));
	assert_int_equal(PARSE("my.conf"), -EINVAL);
	assert_string_equal(error, "my.conf: unexpected argument (a config file is given by --config my.conf)");
	assert_int_equal(PARSE("--check", "a", "b"), -EINVAL);
	assert_int_equal(PARSE("-c", "a", "--check", "b"), -EINVAL);
	assert_int_equal(PARSE("--check", ""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_runs_the_default),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_what_is_wrong_is_named),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
