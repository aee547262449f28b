#include "quiet_log.h"

#include "steward/config/config.h"
#include "steward/log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static char *text;
static size_t length;

static __attribute__((format(printf, 2, 0))) void keep(const char *prefix, const char *format, va_list arguments)
{
	char *line;
	if (vasprintf(&line, format, arguments) < 0)
		abort();
	if (getenv("TEST_LOG"))
		fprintf(stderr, "%s%s\n", prefix, line);
	size_t n = strlen(line);
	char *grown = realloc(text, length + n + 2);
	if (!grown)
		abort();
	text = grown;
	memcpy(text + length, line, n);
	text[length + n] = '\n';
	text[length += n + 1] = '\0';
	free(line);
}

/* What is critical is a defect of ours, or want of memory. */
static void stop_at_defect(int priority, const char *format)
{
	if (priority != LOG_CRIT)
		return;
	fprintf(stderr, "critical: %s\n", format);
	abort();
}

void log_line(int priority, const char *format, ...)
{
	stop_at_defect(priority, format);
	va_list arguments;
	va_start(arguments, format);
	keep("", format, arguments);
	va_end(arguments);
}

void log_session_line(int priority, const char *service, uint64_t session, const char *format, ...)
{
	stop_at_defect(priority, format);
	char prefix[128];
	snprintf(prefix, sizeof prefix, "%s %" PRIx64 ": ", service, session);
	va_list arguments;
	va_start(arguments, format);
	keep(prefix, format, arguments);
	va_end(arguments);
}

bool quiet_log_has(const char *part)
{
	return text && strstr(text, part);
}

void quiet_log_clear(void)
{
	free(text);
	text = NULL;
	length = 0;
}
