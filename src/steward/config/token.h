/* The words of a config text, read as libconfig reads them. libconfig itself says no more than "syntax error" and a line, drops
 * the upper half of large numbers in silence, and reads files at @include; this tells what stands there (syntax.h). A
 * value on the stack. */
#ifndef STEWARD_CONFIG_TOKEN_H
#define STEWARD_CONFIG_TOKEN_H
#include <stddef.h>

enum token_kind {
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_NUMBER,
	TOKEN_GLUED, /* a number with letters behind it: 15m */
	TOKEN_STRING,
	TOKEN_QUOTED,  /* 'in single quotes', which libconfig does not know */
	TOKEN_INCLUDE, /* @include */
	TOKEN_MARK,    /* one character */
	TOKEN_UNCLOSED_STRING,
	TOKEN_UNCLOSED_COMMENT,
};

struct token {
	enum token_kind kind;
	const char *start;
	size_t length;
	unsigned line;  /* where it begins, from 1 */
	unsigned lines; /* line ends within it */
};

struct scanner {
	const char *at, *end;
	unsigned line;
};

void scanner_init(struct scanner *scanner, const char *text, size_t length);
struct token scanner_next(struct scanner *scanner);

#endif
