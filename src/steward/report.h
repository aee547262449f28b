/* What went wrong with something that a person asked for: whole lines, in order, for the log and for who asked.
 * Owned by who asks; ends by report_fini. Never fails: what memory cannot hold is counted. */
#ifndef STEWARD_REPORT_H
#define STEWARD_REPORT_H
#include <stddef.h>

struct report {
	char **lines;
	size_t count;
	size_t lost;
};

void report_add(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_log(const struct report *report, int priority);
void report_fini(struct report *report);

#endif
