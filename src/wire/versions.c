#include "wire/versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void versions_format(const struct version *table, char text[VERSIONS_TEXT_SIZE])
{
	size_t used = 0;

	text[0] = '\0';
	for (const struct version *v = table; v->name && used < VERSIONS_TEXT_SIZE; v++)
		used += (size_t)snprintf(
			text + used, VERSIONS_TEXT_SIZE - used, "%s%s=%u", v == table ? "" : ",", v->name, v->number);
}

static const struct version *find(const struct version *table, const char *name, size_t length)
{
	for (const struct version *v = table; v->name; v++)
		if (strlen(v->name) == length && memcmp(v->name, name, length) == 0)
			return v;
	return NULL;
}

int versions_check(const struct version *table, const char *list, char error[VERSIONS_TEXT_SIZE])
{
	for (const char *at = list; *at;) {
		size_t name = strcspn(at, "=,"), whole = strcspn(at, ",");
		const struct version *v = find(table, at, name);
		unsigned long number = at[name] == '=' ? strtoul(at + name + 1, NULL, 10) : 0;

		if (!v || v->number != number) {
			snprintf(error, VERSIONS_TEXT_SIZE, "cannot read %.*s (%s%.0u)", (int)(whole < 64 ? whole : 64), at,
				v ? "reads version " : "does not know it", v ? v->number : 0);
			return -EPROTO;
		}
		at += whole + (at[whole] == ',');
	}
	return 0;
}

int versions_main(const struct version *table, int argc, char **argv)
{
	char text[VERSIONS_TEXT_SIZE];

	if (argc == 2 && strcmp(argv[1], "--versions") == 0) {
		versions_format(table, text);
		puts(text);
		return fflush(stdout) == 0 ? 0 : EX_IOERR;
	}
	if (argc != 3 || strcmp(argv[1], "--can-read") != 0)
		return -1;
	if (versions_check(table, argv[2], text) == 0)
		return 0;
	puts(text);
	return fflush(stdout) == 0 ? EXIT_FAILURE : EX_IOERR;
}
