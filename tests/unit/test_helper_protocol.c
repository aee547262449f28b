/* What a helper is told and what it may answer. */
#include "steward/helper/protocol.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *request(char *const *environment)
{
	char *line = helper_request_format(7, environment);
	assert_non_null(line);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	json_t *object = json_loads(line, 0, NULL);
	assert_non_null(object);
	free(line);
	return object;
}

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void test_request(void **state)
{
	(void)state;
	char *environment[] = {"PATH=/bin", "SECRET=1", "TCPWARDEN_EVENT=release", "TCPWARDEN_LEASE=6f",
		"TCPWARDEN_FENCE=9007199254740991", "TCPWARDEN_CLIENT=unix", "TCPWARDEN_CLIENT_PORT=", "TCPWARDEN_LOCAL_PORT=80",
		"TCPWARDEN_RECOVERED=1", "TCPWARDEN_ERRNO=104", "TCPWARDEN_VAR_Seat=3\n4\"", NULL};
	json_t *object = request(environment);
	assert_int_equal(json_integer_value(json_object_get(object, "id")), 7);
	assert_string_equal(text(object, "event"), "release");
	assert_string_equal(text(object, "lease"), "6f");
	assert_int_equal(json_integer_value(json_object_get(object, "fence")), 9007199254740991);
	assert_string_equal(text(object, "client"), "unix");
	assert_true(json_is_null(json_object_get(object, "client_port")));
	assert_int_equal(json_integer_value(json_object_get(object, "local_port")), 80);
	assert_int_equal(json_integer_value(json_object_get(object, "errno")), 104);
	assert_true(json_is_true(json_object_get(object, "recovered")));
	assert_string_equal(text(json_object_get(object, "variables"), "Seat"), "3\n4\"");
	assert_int_equal(json_object_size(object), 10);
	json_decref(object);
}

static void test_request_of_any_bytes(void **state)
{
	(void)state;
	char *environment[] = {"TCPWARDEN_VAR_A=\xff\xfe", "TCPWARDEN_VAR_B=\xc3\xa4", NULL};
	json_t *object = request(environment);
	assert_string_equal(text(json_object_get(object, "variables"), "A"), "\xc3\xbf\xc3\xbe");
	assert_string_equal(text(json_object_get(object, "variables"), "B"), "\xc3\xa4");
	json_decref(object);
}

static void good(const char *line, uint64_t id, bool ok, bool busy, const char *output, const char *error)
{
	struct helper_answer answer;
	char why[HELPER_WHY];
	assert_int_equal(helper_answer_parse(&answer, line, strlen(line), why), 0);
	assert_int_equal(answer.id, id);
	assert_int_equal(answer.ok, ok);
	assert_int_equal(answer.busy, busy);
	assert_string_equal(answer.output, output);
	if (error)
		assert_string_equal(answer.error, error);
	else
		assert_null(answer.error);
	helper_answer_fini(&answer);
}

static void test_answers(void **state)
{
	(void)state;
	good("{\"id\":1,\"ok\":true}", 1, true, false, "", NULL);
	good(" {\"ok\":true, \"id\":9007199254740991, \"more\":[1]}\r", 9007199254740991, true, false, "", NULL);
	good("{\"id\":2,\"ok\":false,\"busy\":true,\"error\":\"full\"}", 2, false, true, "", "full");
	good("{\"id\":2,\"ok\":false,\"error\":null}", 2, false, false, "", NULL);
	good("{\"id\":3,\"ok\":true,\"variables\":{\"A\":\"1 = 2\"},\"backend\":\"192.0.2.9:502\"}", 3, true, false,
		"A=1 = 2\nbackend=192.0.2.9:502\n", NULL);
	good("{\"id\":3,\"ok\":true,\"variables\":{},\"backend\":null}", 3, true, false, "", NULL);
}

static void test_no_answers(void **state)
{
	(void)state;
	static const char *const lines[] = {"", "\xff\xff", "7", "null", "[]", "{}", "hello", "{\"id\":1,\"ok\":true",
		"{\"id\":1,\"ok\":true}x", "{\"id\":1,\"id\":2,\"ok\":true}", "{\"id\":\"1\",\"ok\":true}",
		"{\"id\":0,\"ok\":true}", "{\"id\":-1,\"ok\":true}", "{\"id\":1.5,\"ok\":true}",
		"{\"id\":99999999999999999999,\"ok\":true}", "{\"id\":1}", "{\"id\":1,\"ok\":1}",
		"{\"id\":1,\"ok\":false,\"unavailable\":1}", "{\"id\":1,\"ok\":true,\"busy\":1}",
		"{\"id\":1,\"ok\":false,\"error\":1}", "{\"id\":1,\"ok\":true,\"variables\":[]}",
		"{\"id\":1,\"ok\":true,\"variables\":{\"A\":1}}",
		"{\"id\":1,\"ok\":true,\"variables\":{\"A\":\"1\\nbackend=192.0.2.1:1\"}}",
		"{\"id\":1,\"ok\":true,\"variables\":{\"A=B\":\"1\"}}", "{\"id\":1,\"ok\":true,\"variables\":{\"A\\nB\":\"1\"}}",
		"{\"id\":1,\"ok\":true,\"variables\":{\"backend\":\"192.0.2.1:1\"}}", "{\"id\":1,\"ok\":true,\"backend\":1}",
		"{\"id\":1,\"ok\":true,\"backend\":\"192.0.2.1:1\\nA=2\"}", "{\"id\":1,\"ok\":true,\"error\":\"a\\u0000b\"}"};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct helper_answer answer;
		char why[HELPER_WHY] = "";
		if (helper_answer_parse(&answer, lines[i], strlen(lines[i]), why) != -EINVAL)
			fail_msg("taken: %s", lines[i]);
		assert_true(*why);
		helper_answer_fini(&answer);
	}
}

/* A line that holds a zero byte is none; deep nesting ends the parser, not us. */
static void test_strange_answers(void **state)
{
	(void)state;
	struct helper_answer answer;
	char why[HELPER_WHY];
	static const char zero[] = "{\"id\":1,\0\"ok\":true}";
	assert_int_equal(helper_answer_parse(&answer, zero, sizeof zero - 1, why), -EINVAL);
	helper_answer_fini(&answer);
	char *deep = malloc(HELPER_LINE_MAX);
	memset(deep, '[', HELPER_LINE_MAX);
	assert_int_equal(helper_answer_parse(&answer, deep, HELPER_LINE_MAX, why), -EINVAL);
	helper_answer_fini(&answer);
	free(deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_of_any_bytes),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_no_answers),
		cmocka_unit_test(test_strange_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
