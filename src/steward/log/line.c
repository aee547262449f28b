/* What is logged, as records. */
#include "steward/log/log.h"
#include "steward/log/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void log_line(int priority, const char *format, ...)
{
	struct log_record r;
	va_list arguments;

	log_record_init(&r, priority, NULL);
	va_start(arguments, format);
	log_record_message(&r, format, arguments);
	va_end(arguments);
	log_write(&r);
}

void log_session_line(int priority, const char *service, uint64_t session, const char *format, ...)
{
	struct log_record r;
	char message[LOG_MESSAGE_SIZE];
	va_list arguments;

	log_record_init(&r, priority, NULL);
	log_record_field(&r, "SESSION", "%" PRIx64, session);
	log_record_field(&r, "SERVICE", "%s", service);
	va_start(arguments, format);
	log_record_message(&r, format, arguments);
	va_end(arguments);
	memcpy(message, r.message, sizeof message);
	snprintf(r.message, sizeof r.message, "session %" PRIx64 " service=%s: %.1800s", session, r.fields[1].value, message);
	log_write(&r);
}

void log_session_event(const struct ledger_event *event, const char *local, const char *backend)
{
	struct log_record r;

	if (!log_wants(event))
		return;
	log_record_event(&r, event, local, backend);
	log_write(&r);
}
