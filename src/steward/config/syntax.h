/* What is the matter with a text that libconfig does not take, or takes for something else than it says.  */
#ifndef STEWARD_CONFIG_SYNTAX_H
#define STEWARD_CONFIG_SYNTAX_H
#include <stdbool.h>
#include <stddef.h>

enum { SYNTAX_WHAT = 512 };

struct syntax_fault {
	unsigned line;
	char what[SYNTAX_WHAT]; /* "listen: what is wrong (what would be right), in: the line" */
};

/* Before libconfig: what it would read without a word. True and *ret: there is such a thing. */
bool syntax_trap(const char *text, size_t length, struct syntax_fault *ret);

/* After libconfig refused it, at that line and with that message: the likely cause, or just the line. */
void syntax_guess(const char *text, size_t length, unsigned line, const char *message, struct syntax_fault *ret);

#endif
