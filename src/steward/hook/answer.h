/* What an acquire hook printed: variables for the hooks after it, and perhaps a route. */
#ifndef STEWARD_HOOK_ANSWER_H
#define STEWARD_HOOK_ANSWER_H
#include "base/endpoint.h"

#include <stddef.h>

enum { HOOK_VARIABLES_MAX = 64 };

struct hook_answer {
	char *variables[HOOK_VARIABLES_MAX + 1]; /* "KEY=VALUE", NULL-terminated; owned */
	size_t count;
	struct endpoint route; /* AF_UNSPEC: none was named */
	size_t ignored;        /* lines that were neither, or too many */
	char ignored_line[64]; /* the first of them */
};

/* Takes the text apart. 0; -EINVAL: `backend=` has no usable address (*ret_bad: its value, to be freed); -ENOMEM.
 * hook_answer_fini in any case. */
int hook_answer_parse(struct hook_answer *ret, const char *text, size_t length, char **ret_bad);
void hook_answer_fini(struct hook_answer *answer);

/* "192.0.2.1:80" or "[2001:db8::1]:80", numbers only. 0 or -EINVAL. */
int hook_answer_route(struct endpoint *ret, const char *text);

#endif
