#include "wire/versions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { WORD_SIZE = 64 };

static bool reads(const struct version *v, uint32_t number)
{
	return number >= v->oldest && number <= v->newest;
}

void versions_format(const struct version *table, char text[VERSIONS_TEXT_SIZE])
{
	size_t used = 0;

	text[0] = '\0';
	for (const struct version *v = table; v->name && used < VERSIONS_TEXT_SIZE; v++) {
		used += (size_t)snprintf(
			text + used, VERSIONS_TEXT_SIZE - used, "%s%s=%u", v == table ? "" : ",", v->name, v->leaves);
		if (used < VERSIONS_TEXT_SIZE && v->oldest != v->newest)
			used += (size_t)snprintf(text + used, VERSIONS_TEXT_SIZE - used, "/%u-%u", v->oldest, v->newest);
	}
}

/* One word of a list. */
static bool parse(const char *word, struct version *ret)
{
	int end = -1;

	if (sscanf(word, "%*[^=]=%u%n", &ret->leaves, &end) != 1)
		return false;
	ret->oldest = ret->newest = ret->leaves;
	if (word[end] == '/') {
		word += end;
		end = -1;
		if (sscanf(word, "/%u-%u%n", &ret->oldest, &ret->newest, &end) != 2 || end < 0)
			return false;
	}
	return word[end] == '\0' && reads(ret, ret->leaves);
}

static const struct version *find(const struct version *table, const char *word)
{
	for (const struct version *v = table; v->name; v++)
		if (strlen(v->name) == strcspn(word, "=") && strncmp(v->name, word, strlen(v->name)) == 0)
			return v;
	return NULL;
}

static void format_reads(const struct version *v, char text[WORD_SIZE])
{
	if (v->oldest == v->newest)
		snprintf(text, WORD_SIZE, "version %u", v->newest);
	else
		snprintf(text, WORD_SIZE, "versions %u to %u", v->oldest, v->newest);
}

static int check_word(const struct version *table, const char *word, char error[VERSIONS_TEXT_SIZE])
{
	const struct version *here = find(table, word);
	struct version there;
	char text[WORD_SIZE];

	if (!here || !parse(word, &there)) {
		snprintf(error, VERSIONS_TEXT_SIZE, "cannot read %s (does not know it)", word);
		return -EPROTO;
	}
	if (!reads(here, there.leaves)) {
		format_reads(here, text);
		snprintf(error, VERSIONS_TEXT_SIZE, "cannot read %s=%u (reads %s)", here->name, there.leaves, text);
		return -EPROTO;
	}
	if (!reads(&there, here->leaves)) {
		format_reads(&there, text);
		snprintf(error, VERSIONS_TEXT_SIZE,
			"would leave %s=%u, and there would be no way back (the version that runs reads %s)", here->name,
			here->leaves, text);
		return -EPROTO;
	}
	return 0;
}

int versions_check(const struct version *table, const char *list, char error[VERSIONS_TEXT_SIZE])
{
	while (*list) {
		size_t length = strcspn(list, ",");
		char word[WORD_SIZE];
		int r;

		snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), list);
		r = check_word(table, word, error);
		if (r < 0)
			return r;
		list += length + (list[length] == ',');
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
