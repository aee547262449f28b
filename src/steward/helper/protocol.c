#include "steward/helper/protocol.h"

#include "steward/hook/environment.h"
#include "steward/lease/row.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE "VAR_"

/* ---- requests ---- */

/* What a program would rather have as a number; all of them fit into the 53 bits that every reader of JSON keeps. */
static bool is_number(const char *name)
{
	static const char *const numbers[] = {"fence", "client_port", "local_port", "backend_port", "errno", "bytes_to_backend",
		"bytes_to_client", "undelivered_to_backend", "undelivered_to_client", "duration_ms", "attempt", NULL};
	size_t at = 0;
	while (numbers[at] && strcmp(numbers[at], name))
		at++;
	return numbers[at];
}

/* Text of the operator, and of acquire hooks in exec mode, may be any bytes. */
static json_t *text_encode(const char *text)
{
	json_t *value = json_string(text);
	return value ? value : row_bytes_encode(text);
}

static json_t *member_encode(const char *name, const char *value)
{
	if (!strcmp(name, "recovered"))
		return json_boolean(!strcmp(value, "1"));
	if (!is_number(name))
		return text_encode(value);
	return *value ? json_integer(strtoll(value, NULL, 10)) : json_null();
}

static int put(json_t *request, json_t *variables, const char *entry)
{
	const char *equals = strchr(entry, '=');
	char name[256];
	if (!equals || strncmp(entry, HOOK_ENVIRONMENT_OURS, strlen(HOOK_ENVIRONMENT_OURS)))
		return 0;
	entry += strlen(HOOK_ENVIRONMENT_OURS);
	if (!strncmp(entry, VARIABLE, strlen(VARIABLE))) {
		char *key = strndup(entry + strlen(VARIABLE), (size_t)(equals - entry) - strlen(VARIABLE));
		int r = key ? json_object_set_new(variables, key, text_encode(equals + 1)) : -1;
		free(key);
		return r;
	}
	size_t length = (size_t)(equals - entry);
	if (length >= sizeof name)
		return 0;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)tolower((unsigned char)entry[i]);
	name[length] = '\0';
	return json_object_set_new(request, name, member_encode(name, equals + 1));
}

char *helper_request_format(uint64_t id, char *const *environment)
{
	char *line = NULL, *text = NULL;
	json_t *variables = json_object();
	json_t *request = json_pack("{sI}", "id", (json_int_t)id);
	int r = request && variables ? 0 : -1;
	for (; !r && *environment; environment++)
		r = put(request, variables, *environment);
	if (!r)
		r = json_object_set(request, "variables", variables);
	if (!r)
		text = json_dumps(request, JSON_COMPACT);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	json_decref(variables);
	json_decref(request);
	return line;
}

/* ---- answers ---- */

/* They become lines, as exec mode has them: none may make two of itself, or a route that was not said to be one. */
static int add_variables(FILE *to, json_t *variables, char why[HELPER_WHY])
{
	const char *key;
	json_t *value;
	if (variables && !json_is_object(variables)) {
		snprintf(why, HELPER_WHY, "\"variables\" is not an object");
		return -EINVAL;
	}
	json_object_foreach (variables, key, value) {
		const char *text = json_string_value(value);
		if (!text || strpbrk(text, "\r\n") || strpbrk(key, "=\r\n") || !strcmp(key, "backend")) {
			snprintf(
				why, HELPER_WHY, "\"%.40s\" in \"variables\" is not a text of one line under a usable name", key);
			return -EINVAL;
		}
		fprintf(to, "%s=%s\n", key, text);
	}
	return 0;
}

static int format_output(char **ret, const json_t *object, char why[HELPER_WHY])
{
	size_t size;
	const json_t *route = json_object_get(object, "backend");
	FILE *to = open_memstream(ret, &size);
	if (!to)
		return -ENOMEM;
	int r = add_variables(to, json_object_get(object, "variables"), why);
	if (!r && json_is_string(route) && !strpbrk(json_string_value(route), "\r\n")) {
		fprintf(to, "backend=%s\n", json_string_value(route));
	} else if (!r && route && !json_is_null(route)) {
		snprintf(why, HELPER_WHY, "\"backend\" is not a text of one line");
		r = -EINVAL;
	}
	return fclose(to) ? -ENOMEM : r;
}

static int take(struct helper_answer *answer, const json_t *object, char why[HELPER_WHY])
{
	const json_t *id = json_object_get(object, "id"), *ok = json_object_get(object, "ok");
	const json_t *busy = json_object_get(object, "busy"), *error = json_object_get(object, "error");
	const json_t *unavailable = json_object_get(object, "unavailable");
	const char *wrong = !json_is_object(object)                               ? "it is not an object"
			    : !json_is_integer(id) || json_integer_value(id) <= 0 ? "its \"id\" is not that of a request"
			    : !json_is_boolean(ok)                                ? "\"ok\" is neither true nor false"
			    : busy && !json_is_boolean(busy)                      ? "\"busy\" is neither true nor false"
			    : unavailable && !json_is_boolean(unavailable)        ? "\"unavailable\" is neither true nor false"
			    : error && !json_is_string(error) && !json_is_null(error) ? "\"error\" is not a text"
										      : NULL;
	if (wrong) {
		snprintf(why, HELPER_WHY, "%s", wrong);
		return -EINVAL;
	}
	answer->id = (uint64_t)json_integer_value(id);
	answer->ok = json_is_true(ok);
	answer->busy = json_is_true(busy);
	answer->unavailable = json_is_true(unavailable);
	if (json_is_string(error) && !(answer->error = strdup(json_string_value(error))))
		return -ENOMEM;
	return format_output(&answer->output, object, why);
}

int helper_answer_parse(struct helper_answer *ret, const char *line, size_t length, char why[HELPER_WHY])
{
	json_error_t error;
	*ret = (struct helper_answer){0};
	json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (!object) {
		snprintf(why, HELPER_WHY, "%.100s", error.text);
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	}
	int r = take(ret, object, why);
	json_decref(object);
	return r;
}

void helper_answer_fini(struct helper_answer *answer)
{
	free(answer->output);
	free(answer->error);
	*answer = (struct helper_answer){0};
}
