#include "steward/config/token.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

void scanner_init(struct scanner *scanner, const char *text, size_t length)
{
	*scanner = (struct scanner){.at = text, .end = text + length, .line = 1};
}

static bool starts(const struct scanner *s, const char *with)
{
	size_t length = strlen(with);

	return (size_t)(s->end - s->at) >= length && memcmp(s->at, with, length) == 0;
}

/* Past spaces and comments; false: a comment is not closed, and `at` is where it begins. */
static bool skip(struct scanner *s)
{
	while (s->at < s->end) {
		if (*s->at == '\n') {
			s->line++;
			s->at++;
		} else if (isspace((unsigned char)*s->at)) {
			s->at++;
		} else if (*s->at == '#' || starts(s, "//")) {
			const char *newline = memchr(s->at, '\n', (size_t)(s->end - s->at));
			s->at = newline ? newline : s->end;
		} else if (starts(s, "/*")) {
			const char *close = memmem(s->at + 2, (size_t)(s->end - s->at - 2), "*/", 2);
			if (!close)
				return false;
			for (; s->at < close + 2; s->at++)
				s->line += *s->at == '\n';
		} else {
			break;
		}
	}
	return true;
}

static bool name_start(char c)
{
	return isalpha((unsigned char)c) || c == '*';
}

static bool name_part(char c)
{
	return isalnum((unsigned char)c) || c == '*' || c == '_' || c == '-';
}

static enum token_kind scan_string(struct scanner *s)
{
	for (s->at++; s->at < s->end; s->at++) {
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
		else if (*s->at == '"')
			break;
		s->line += *s->at == '\n';
	}
	if (s->at == s->end)
		return TOKEN_UNCLOSED_STRING;
	s->at++;
	return TOKEN_STRING;
}

static enum token_kind scan_number(struct scanner *s)
{
	const char *start = s->at;
	bool glued = false;

	if (*s->at == '-' || *s->at == '+')
		s->at++;
	if (starts(s, "0x") || starts(s, "0X")) {
		s->at += 2;
		while (s->at < s->end && isxdigit((unsigned char)*s->at))
			s->at++;
	} else {
		while (s->at < s->end && (isdigit((unsigned char)*s->at) || *s->at == '.'))
			s->at++;
		if (s->at + 1 < s->end && (*s->at == 'e' || *s->at == 'E') &&
			(isdigit((unsigned char)s->at[1]) || s->at[1] == '-'))
			for (s->at += 2; s->at < s->end && isdigit((unsigned char)*s->at);)
				s->at++;
	}
	while (s->at < s->end && *s->at == 'L')
		s->at++;
	for (; s->at < s->end && (name_part(*s->at) || *s->at == ':' || *s->at == '/' || *s->at == '.'); s->at++)
		glued = true;
	/* A sign alone is no number (but a point alone is, to libconfig). */
	if (s->at == start + 1 && (*start == '-' || *start == '+'))
		return TOKEN_MARK;
	return glued ? TOKEN_GLUED : TOKEN_NUMBER;
}

static enum token_kind scan_quoted(struct scanner *s)
{
	const char *close = s->at + 1;

	while (close < s->end && *close != '\'' && *close != '\n')
		close++;
	if (close == s->end || *close == '\n') {
		s->at++;
		return TOKEN_MARK;
	}
	s->at = close + 1;
	return TOKEN_QUOTED;
}

static enum token_kind scan(struct scanner *s)
{
	if (name_start(*s->at)) {
		while (s->at < s->end && name_part(*s->at))
			s->at++;
		return TOKEN_NAME;
	}
	if (isdigit((unsigned char)*s->at) || *s->at == '-' || *s->at == '+' || *s->at == '.')
		return scan_number(s);
	if (*s->at == '"')
		return scan_string(s);
	if (*s->at == '\'')
		return scan_quoted(s);
	if (starts(s, "@include")) {
		s->at += strlen("@include");
		return TOKEN_INCLUDE;
	}
	s->at++;
	return TOKEN_MARK;
}

struct token scanner_next(struct scanner *s)
{
	struct token token = {.kind = TOKEN_UNCLOSED_COMMENT};

	if (skip(s)) {
		token.start = s->at;
		token.line = s->line;
		token.kind = s->at == s->end ? TOKEN_END : scan(s);
	} else {
		token.start = s->at;
		token.line = s->line;
		s->at = s->end;
	}
	token.length = (size_t)(s->at - token.start);
	token.lines = s->line - token.line;
	return token;
}
