#include "steward/config/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reader_init(struct reader *reader, const char *file, struct config *config)
{
	*reader = (struct reader){.file = file, .config = config};
}

void reader_fini(struct reader *reader)
{
	for (size_t i = 0; i < reader->error_count; i++)
		free(reader->errors[i].text);
	free(reader->errors);
	free(reader->listeners);
}

void reader_complain(struct reader *reader, unsigned line, const char *path, const char *format, ...)
{
	struct error_line *errors;
	char *what = NULL, *text = NULL;
	va_list arguments;
	int r;

	if (reader->muted || reader->no_memory)
		return;
	if (reader->error_count == reader->error_room) {
		size_t room = reader->error_room ? 2 * reader->error_room : 16;
		errors = realloc(reader->errors, room * sizeof *errors);
		if (!errors)
			goto no_memory;
		reader->errors = errors;
		reader->error_room = room;
	}
	va_start(arguments, format);
	r = vasprintf(&what, format, arguments);
	va_end(arguments);
	if (r < 0)
		goto no_memory;
	r = asprintf(&text, "%s:%u: %s%s%s", reader->file, line, path, path[0] ? ": " : "", what);
	free(what);
	if (r < 0)
		goto no_memory;
	reader->errors[reader->error_count] = (struct error_line){line, reader->error_count, text};
	reader->error_count++;
	return;
no_memory:
	reader->no_memory = true;
}

static int by_line(const void *a, const void *b)
{
	const struct error_line *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

int reader_take_errors(struct reader *reader, struct config_errors *ret)
{
	char **lines = calloc(reader->error_count, sizeof *lines);

	if (!lines)
		return -ENOMEM;
	qsort(reader->errors, reader->error_count, sizeof *reader->errors, by_line);
	for (size_t i = 0; i < reader->error_count; i++)
		lines[i] = reader->errors[i].text;
	*ret = (struct config_errors){lines, reader->error_count};
	reader->error_count = 0;
	return 0;
}

static const char *type_word(const config_setting_t *value)
{
	switch (config_setting_type(value)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a number with a fraction";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return "a list";
	}
	return "this";
}

void reader_complain_type(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value)
{
	unsigned line = config_setting_source_line(value);
	int type = config_setting_type(value);
	char what[200];

	setting_describe(setting, what, sizeof what);
	if ((setting->kind == SETTING_MS || setting->kind == SETTING_S) && (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64))
		reader_complain(reader, line, path, "%lld has no unit (for example \"%llds\")", config_setting_get_int64(value),
			config_setting_get_int64(value));
	else
		reader_complain(reader, line, path, "%s does not fit here (%s)", type_word(value), what);
}
