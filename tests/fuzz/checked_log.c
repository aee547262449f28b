/* In place of steward/log/log.c: each line is made in all its forms, and looked at instead of written. */
#include "fuzz.h"

#include "steward/log/log.h"
#include "steward/log/write.h"

#include <jansson.h>
#include <string.h>

/* One line, of characters that no terminal obeys. */
static void check_line(const char *line, size_t length)
{
	FUZZ_MUST(length > 0 && length < LOG_LINE_SIZE && strlen(line) == length && line[length - 1] == '\n');
	for (size_t i = 0; i + 1 < length; i++)
		FUZZ_MUST((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
}

void log_write(const struct log_record *r)
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

bool log_wants(const struct ledger_event *event)
{
	(void)event;
	return true;
}

uint64_t log_dropped(void)
{
	return 0;
}
