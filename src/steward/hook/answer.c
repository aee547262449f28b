#include "steward/hook/answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTE_KEY "backend="

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_variable(const char *line)
{
	if (!is_letter(*line))
		return false;
	while (is_letter(*line) || (*line >= '0' && *line <= '9'))
		line++;
	return *line == '=';
}

int hook_answer_route(struct endpoint *ret, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	if (!colon)
		return -EINVAL;
	const char *digits = colon + 1;
	size_t port_length = strlen(digits);
	if (!port_length || port_length > 5 || strspn(digits, "0123456789") != port_length)
		return -EINVAL;
	unsigned long port = strtoul(digits, NULL, 10);
	if (!port || port > 65535)
		return -EINVAL;

	bool bracketed = *text == '[' && colon > text && colon[-1] == ']';
	const char *begin = bracketed ? text + 1 : text;
	size_t length = (size_t)(colon - begin) - bracketed;
	if (length >= sizeof host)
		return -EINVAL;
	memcpy(host, begin, length);
	host[length] = '\0';

	struct endpoint endpoint = {.family = bracketed ? AF_INET6 : AF_INET, .port = (uint16_t)port};
	if (inet_pton(endpoint.family, host, endpoint.ip) != 1)
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

/* A key said twice: the later value holds. */
static int keep_variable(struct hook_answer *answer, const char *line)
{
	size_t key_length = strcspn(line, "=") + 1, at = 0;
	while (at < answer->count && strncmp(answer->variables[at], line, key_length))
		at++;
	if (at == HOOK_VARIABLES_MAX)
		return 1;
	char *copy = strdup(line);
	if (!copy)
		return -ENOMEM;
	free(answer->variables[at]);
	answer->variables[at] = copy;
	answer->count += at == answer->count;
	return 0;
}

static void ignore_line(struct hook_answer *answer, const char *line)
{
	if (!answer->ignored++)
		snprintf(answer->ignored_line, sizeof answer->ignored_line, "%s", line);
}

static int take_line(struct hook_answer *answer, const char *line, char **ret_bad)
{
	if (!*line)
		return 0;
	if (!strncmp(line, ROUTE_KEY, strlen(ROUTE_KEY))) {
		const char *value = line + strlen(ROUTE_KEY);
		int r = hook_answer_route(&answer->route, value);
		if (r && !(*ret_bad = strdup(value)))
			return -ENOMEM;
		return r;
	}
	int r = is_variable(line) ? keep_variable(answer, line) : 1;
	if (r > 0)
		ignore_line(answer, line);
	return r < 0 ? r : 0;
}

int hook_answer_parse(struct hook_answer *ret, const char *text, size_t length, char **ret_bad)
{
	*ret = (struct hook_answer){0};
	*ret_bad = NULL;
	int r = 0;
	for (const char *end = text + length; !r && text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_length = (size_t)((newline ? newline : end) - text);
		const char *next = text + line_length + 1;
		if (line_length && text[line_length - 1] == '\r')
			line_length--;
		char *line = strndup(text, line_length);
		if (!line)
			return -ENOMEM;
		/* A zero byte fits neither a variable nor an address, and must not hide what follows it. */
		if (strlen(line) < line_length)
			ignore_line(ret, line);
		else
			r = take_line(ret, line, ret_bad);
		free(line);
		text = next;
	}
	return r;
}

void hook_answer_fini(struct hook_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		free(answer->variables[i]);
	*answer = (struct hook_answer){0};
}
