/* One line of the log before it takes a form: a message and named fields, which text, JSON and journald show alike.
 * Lives on the stack of who writes it. Values are escaped when they come in, so every form can print them as they are. */
#ifndef STEWARD_LOG_RECORD_H
#define STEWARD_LOG_RECORD_H
#include "steward/log/journal.h"
#include "wire/ledger.h"

#include <stdarg.h>

enum { LOG_FIELDS_MAX = 20, LOG_VALUE_SIZE = 160, LOG_MESSAGE_SIZE = 2048, LOG_LINE_SIZE = 3800 };

struct log_field {
	const char *name; /* "BYTES_TO_CLIENT": TCPWARDEN_… in the journal, lower case elsewhere */
	char value[LOG_VALUE_SIZE];
};

struct log_record {
	int priority;           /* syslog(3) */
	const char *message_id; /* 32 hexadecimal digits, one for each kind of record, or NULL */
	char message[LOG_MESSAGE_SIZE];
	size_t field_count;
	struct log_field fields[LOG_FIELDS_MAX];
};

void log_record_init(struct log_record *record, int priority, const char *message_id);
void log_record_message(struct log_record *record, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
void log_record_field(struct log_record *record, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A session's start or end; `local` and `backend` name what an endpoint cannot (unix paths), or NULL. */
void log_record_event(struct log_record *record, const struct ledger_event *event, const char *local, const char *backend);

/* Each writes one line with its newline into `to` and returns its length. LOG_LINE_SIZE is below PIPE_BUF: written whole or not
 * at all. */
size_t log_record_text(const struct log_record *record, uint64_t real_us, bool prefix, char to[LOG_LINE_SIZE]);
size_t log_record_json(const struct log_record *record, uint64_t real_us, char to[LOG_LINE_SIZE]);
void log_record_journal(const struct log_record *record, struct journal_record *ret);

#endif
