#include "steward/log/record.h"

#include "base/escape.h"
#include "steward/lease/leases.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static_assert(LOG_LINE_SIZE <= PIPE_BUF, "a line on a pipe is written whole or not at all: pipe(7)");

#define ID_CONNECTED "5f2d1a7c9be64a0c8f1e3d6b7a90c4e2"
#define ID_ENDED     "c8b06e5d3f7142a9a4d7e19c05b83f61"

static const char *const priority_words[] = {"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"};

void log_record_init(struct log_record *r, int priority, const char *message_id)
{
	r->priority = priority;
	r->message_id = message_id;
	r->message[0] = '\0';
	r->field_count = 0;
}

static int bounded(int n, size_t size)
{
	return n < 0 ? 0 : n < (int)size ? n : (int)size - 1;
}

void log_record_message(struct log_record *r, const char *format, va_list arguments)
{
	char raw[LOG_MESSAGE_SIZE];
	int n = bounded(vsnprintf(raw, sizeof raw, format, arguments), sizeof raw);

	while (n > 0 && raw[n - 1] == '\n')
		n--;
	escape_text(r->message, sizeof r->message, raw, (size_t)n);
}

void log_record_field(struct log_record *r, const char *name, const char *format, ...)
{
	char raw[LOG_VALUE_SIZE];
	va_list arguments;
	int n;

	assert(r->field_count < LOG_FIELDS_MAX);
	va_start(arguments, format);
	n = bounded(vsnprintf(raw, sizeof raw, format, arguments), sizeof raw);
	va_end(arguments);
	r->fields[r->field_count].name = name;
	escape_text(r->fields[r->field_count].value, LOG_VALUE_SIZE, raw, (size_t)n);
	r->field_count++;
}

static void lower(char to[40], const char *from)
{
	size_t i;

	for (i = 0; from[i] && i < 39; i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[i] = '\0';
}

/* In text a value with a space in it is quoted, so that key=value stays one word, and a quote in it is none. Returns the
 * length. */
static size_t put_pair(char *to, size_t size, const struct log_field *f)
{
	const char *mark = f->value[0] == '\0' || strpbrk(f->value, " \"=") ? "\"" : "";
	char name[40], value[4 * LOG_VALUE_SIZE];
	size_t used = 0;

	lower(name, f->name);
	for (const char *p = f->value; *p; p++)
		if (*p == '"') {
			memcpy(value + used, "\\x22", 4);
			used += 4;
		} else {
			value[used++] = *p;
		}
	value[used] = '\0';
	return (size_t)bounded(snprintf(to, size, " %s=%s%s%s", name, mark, value, mark), size);
}

static void put_endpoint(struct log_record *r, const char *name, const struct endpoint *e, const char *text)
{
	char formatted[ENDPOINT_TEXT];

	endpoint_format(e, formatted);
	log_record_field(r, name, "%s", e->family == AF_UNIX && text ? text : formatted);
}

static const char *error_word(int error)
{
	const char *name = error ? strerrorname_np(error) : NULL;

	return name ? name : error ? "?" : "-";
}

static void add_end(struct log_record *r, const struct session_record *s)
{
	uint64_t duration_ms = s->ended_ms > s->started_ms ? s->ended_ms - s->started_ms : 0;

	log_record_field(r, "REASON", "%s.%s", who_word(s->reason.who), how_word(s->reason.how));
	log_record_field(r, "OPERATION", "%s", operation_word(s->reason.operation));
	log_record_field(r, "ERRNO", "%s", error_word(s->reason.error));
	log_record_field(r, "STATE", "%s", slot_state_word(s->reason.state));
	log_record_field(r, "BYTES_TO_BACKEND", "%" PRIu64, s->bytes[SIDE_CLIENT]);
	log_record_field(r, "BYTES_TO_CLIENT", "%" PRIu64, s->bytes[SIDE_BACKEND]);
	log_record_field(r, "UNDELIVERED_TO_BACKEND", "%" PRIu64, s->undelivered[SIDE_CLIENT]);
	log_record_field(r, "UNDELIVERED_TO_CLIENT", "%" PRIu64, s->undelivered[SIDE_BACKEND]);
	log_record_field(r, "DURATION_MS", "%" PRIu64, duration_ms);
}

void log_record_event(struct log_record *r, const struct ledger_event *event, const char *local, const char *backend)
{
	const struct session_record *s = &event->record;
	bool ended = event->kind == EVENT_ENDED;
	bool ours = ended && s->reason.who == WHO_SYSTEM;
	size_t used;
	char lease[24];

	log_record_init(r, ours ? LOG_WARNING : LOG_INFO, ended ? ID_ENDED : ID_CONNECTED);
	log_record_field(r, "SESSION", "%" PRIx64, s->id);
	log_record_field(r, "SERVICE", "%s", s->service);
	put_endpoint(r, "CLIENT", &s->client, NULL);
	put_endpoint(r, "LOCAL", &s->local, local);
	put_endpoint(r, "BACKEND", &s->backend, backend);
	if (s->fence)
		lease_format(s->fence, lease);
	log_record_field(r, "LEASE", "%s", s->fence ? lease : "-");
	if (ended)
		add_end(r, s);
	used = (size_t)bounded(
		snprintf(r->message, sizeof r->message, "session %s %s", r->fields[0].value, ended ? "ended" : "connected"),
		sizeof r->message);
	for (size_t i = 1; i < r->field_count; i++)
		used += put_pair(r->message + used, sizeof r->message - used, &r->fields[i]);
}

static void format_time(char to[40], uint64_t real_us)
{
	time_t seconds = (time_t)(real_us / 1000000u);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(to, 30, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + n, 40 - n, ".%03uZ", (unsigned)(real_us / 1000u % 1000u));
}

static const char *priority_word(int priority)
{
	return priority >= 0 && priority <= LOG_DEBUG ? priority_words[priority] : "?";
}

size_t log_record_text(const struct log_record *r, uint64_t real_us, bool prefix, char to[LOG_LINE_SIZE])
{
	char when[40];
	int n;

	/* sd-daemon(3): journald reads <N> as the priority and gives the time itself. */
	if (prefix) {
		n = snprintf(to, LOG_LINE_SIZE - 1, "<%d>%s", r->priority, r->message);
	} else {
		format_time(when, real_us);
		n = snprintf(to, LOG_LINE_SIZE - 1, "%s %s %s", when, priority_word(r->priority), r->message);
	}
	n = bounded(n, LOG_LINE_SIZE - 1);
	to[n] = '\n';
	to[n + 1] = '\0';
	return (size_t)n + 1;
}

size_t log_record_json(const struct log_record *r, uint64_t real_us, char to[LOG_LINE_SIZE])
{
	json_t *object = json_object();
	char when[40], name[40];
	size_t n, length = strlen(r->message);

	format_time(when, real_us);
	json_object_set_new(object, "time", json_string(when));
	json_object_set_new(object, "priority", json_string(priority_word(r->priority)));
	for (size_t i = 0; i < r->field_count; i++) {
		lower(name, r->fields[i].name);
		json_object_set_new(object, name, json_string(r->fields[i].value));
	}
	/* A long message is shortened until the line fits: quoting can make it six times as long. */
	for (;; length /= 2) {
		char cut[LOG_MESSAGE_SIZE];

		escape_text(cut, sizeof cut, r->message, length);
		json_object_set_new(object, "message", json_string(cut));
		n = json_dumpb(object, to, LOG_LINE_SIZE - 2, JSON_COMPACT);
		if (n <= LOG_LINE_SIZE - 2 || length == 0)
			break;
	}
	json_decref(object);
	n = n <= LOG_LINE_SIZE - 2 ? n : 0;
	to[n] = '\n';
	to[n + 1] = '\0';
	return n + 1;
}

void log_record_journal(const struct log_record *r, struct journal_record *ret)
{
	char priority[2] = {(char)('0' + (r->priority & 7)), '\0'};
	char name[64];

	ret->used = 0;
	ret->full = false;
	journal_add(ret, "MESSAGE", r->message, strlen(r->message));
	journal_add(ret, "PRIORITY", priority, 1);
	journal_add(ret, "SYSLOG_IDENTIFIER", "tcpwarden", strlen("tcpwarden"));
	if (r->message_id)
		journal_add(ret, "MESSAGE_ID", r->message_id, strlen(r->message_id));
	for (size_t i = 0; i < r->field_count; i++) {
		snprintf(name, sizeof name, "TCPWARDEN_%s", r->fields[i].name);
		journal_add(ret, name, r->fields[i].value, strlen(r->fields[i].value));
	}
}
