/* Each tests/config/NAME.conf, checked as `--check` does, against the exact text of NAME.expected, and where there is a
 * NAME.explained explained as `--explain` does, against that. The kernel is one that has TCP_RTO_MAX_MS and the default sysctls,
 * but for those in NAME.sysctl. With TCPWARDEN_UPDATE=1 in the environment the expected texts are written instead (then read the
 * difference). */
#include "steward/config/check.h"
#include "steward/config/explain.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file)
		return NULL;
	if (getdelim(&text, &size, '\0', file) < 0 && !text)
		text = strdup("");
	fclose(file);
	return text;
}

static void compare(const char *text, const char *expected_name)
{
	char *expected;

	if (getenv("TCPWARDEN_UPDATE")) {
		FILE *file = fopen(expected_name, "w");
		assert_non_null(file);
		fputs(text, file);
		assert_int_equal(fclose(file), 0);
	}
	expected = read_text(expected_name);
	assert_non_null(expected);
	assert_string_equal(text, expected);
	free(expected);
}

static void check_case(void **state)
{
	const char *name = *state;
	char base[256], beside[300], *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	struct kernel kernel;
	int code;

	snprintf(base, sizeof base, "%.*s", (int)(strlen(name) - strlen(".conf")), name);
	snprintf(beside, sizeof beside, "%s.sysctl", base);
	kernel_read(&kernel, beside);
	kernel.paces = true;

	assert_non_null(stream);
	code = check_report(name, &kernel, stream, stream);
	fprintf(stream, "exit %d\n", code);
	fclose(stream);
	snprintf(beside, sizeof beside, "%s.expected", base);
	compare(text, beside);
	free(text);

	snprintf(beside, sizeof beside, "%s.explained", base);
	if (access(beside, F_OK) < 0)
		return;
	stream = open_memstream(&text, &size);
	assert_non_null(stream);
	code = explain_report(name, NULL, &kernel, stream, stream);
	fprintf(stream, "exit %d\n", code);
	fclose(stream);
	compare(text, beside);
	free(text);
}

int main(void)
{
	struct CMUnitTest *tests;
	glob_t found;
	int failed;

	if (chdir(TESTS_CONFIG) < 0 || glob("*.conf", 0, NULL, &found) != 0) {
		perror(TESTS_CONFIG);
		return 99;
	}
	tests = calloc(found.gl_pathc, sizeof *tests);
	if (!tests)
		return 99;
	for (size_t i = 0; i < found.gl_pathc; i++)
		tests[i] = (struct CMUnitTest){
			.name = found.gl_pathv[i], .test_func = check_case, .initial_state = found.gl_pathv[i]};
	failed = _cmocka_run_group_tests("config cases", tests, found.gl_pathc, NULL, NULL);
	free(tests);
	globfree(&found);
	return failed ? 1 : 0;
}
