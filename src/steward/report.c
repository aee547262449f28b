#include "steward/report.h"

#include "steward/log/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void report_add(struct report *report, const char *format, ...)
{
	va_list arguments;
	char **lines, *line;
	int n;

	va_start(arguments, format);
	n = vasprintf(&line, format, arguments);
	va_end(arguments);
	if (n < 0) {
		report->lost++;
		return;
	}
	lines = realloc(report->lines, (report->count + 1) * sizeof *lines);
	if (!lines) {
		free(line);
		report->lost++;
		return;
	}
	report->lines = lines;
	report->lines[report->count++] = line;
}

void report_log(const struct report *report, int priority)
{
	for (size_t i = 0; i < report->count; i++)
		log_line(priority, "%s", report->lines[i]);
	if (report->lost)
		log_line(priority, "%zu more lines were lost for want of memory", report->lost);
}

void report_fini(struct report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->lines[i]);
	free(report->lines);
	memset(report, 0, sizeof *report);
}
