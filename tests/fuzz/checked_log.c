/* In place of steward/log/log.c: each line is made in all its forms, and looked at instead of written. */
#include "fuzz.h"

#include "steward/log/log.h"
#include "steward/log/record.h"

#include <jansson.h>
#include <string.h>
#include <syslog.h>

/* One line, of characters that no terminal obeys. */
static void check_line(const char *line, size_t length)
{
	FUZZ_MUST(length > 0 && length < LOG_LINE_SIZE && strlen(line) == length && line[length - 1] == '\n');
	for (size_t i = 0; i + 1 < length; i++)
		FUZZ_MUST((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
}

static void check(const struct log_record *r)
{
	char line[LOG_LINE_SIZE];
	struct journal_record journal;
	json_t *object;

	check_line(line, log_record_text(r, 1, false, line));
	check_line(line, log_record_text(r, 1, true, line));
	check_line(line, log_record_json(r, 1, line));
	object = json_loads(line, 0, NULL);
	FUZZ_MUST(object && json_string_value(json_object_get(object, "message")));
	json_decref(object);
	log_record_journal(r, &journal);
	FUZZ_MUST(!journal.full);
}

void log_open(void)
{
}

void log_configure(const struct config *config)
{
	(void)config;
}

void log_line(int priority, const char *format, ...)
{
	struct log_record r;
	va_list arguments;

	log_record_init(&r, priority, NULL);
	va_start(arguments, format);
	log_record_message(&r, format, arguments);
	va_end(arguments);
	check(&r);
}

void log_session_line(int priority, const char *service, uint64_t session, const char *format, ...)
{
	struct log_record r;
	va_list arguments;

	log_record_init(&r, priority, NULL);
	log_record_field(&r, "SESSION", "%llx", (unsigned long long)session);
	log_record_field(&r, "SERVICE", "%s", service);
	va_start(arguments, format);
	log_record_message(&r, format, arguments);
	va_end(arguments);
	check(&r);
}

void log_session_event(const struct ledger_event *event, const char *local, const char *backend)
{
	struct log_record r;

	log_record_event(&r, event, local, backend);
	check(&r);
}

uint64_t log_dropped(void)
{
	return 0;
}
