/* The manual and the example against the table of settings: neither may lack a setting, have one that is none, or give another
 * default. */
#include "steward/config/config.h"
#include "steward/config/settings.h"

#include <libconfig.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATHS = 256 };

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file)
		fail_msg("%s: cannot be read", path);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	fclose(file);
	return text;
}

/* The listing, as lines of path, kind, default and meaning. */
struct listing {
	char *text;
	size_t count;
	char *path[PATHS], *value[PATHS];
};

static void list(struct listing *l)
{
	size_t size;
	FILE *stream = open_memstream(&l->text, &size);
	char *rest = NULL;

	assert_non_null(stream);
	settings_print(stream);
	fclose(stream);
	l->count = 0;
	for (char *line = strtok_r(l->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *fields[4], *tab = NULL;
		assert_true(l->count < PATHS);
		for (size_t i = 0; i < 4; i++) {
			fields[i] = strtok_r(i ? NULL : line, "\t", &tab);
			assert_non_null(fields[i]);
		}
		l->path[l->count] = fields[0];
		l->value[l->count++] = fields[2];
	}
}

static void the_manual_has_each_setting_and_its_default(void **state)
{
	struct listing l;
	bool found[PATHS] = {false};
	char *manual = read_text(DOC_DIR "/tcpwarden.conf.5"), *rest = NULL;
	size_t here[8], here_count = 0;
	const char *prefix = NULL;

	(void)state;
	list(&l);
	for (char *line = strtok_r(manual, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, ".Sh ", 4) == 0)
			prefix = strcmp(line, ".Sh GLOBAL SETTINGS") == 0 ? ""
				 : strcmp(line, ".Sh SERVICES") == 0      ? "services."
									  : NULL;
		if (!prefix)
			continue;
		if (strncmp(line, ".It Ic ", 7) == 0) {
			char *word_rest = NULL;
			here_count = 0;
			for (char *word = strtok_r(line + 7, " ,", &word_rest); word; word = strtok_r(NULL, " ,", &word_rest)) {
				char path[128];
				size_t i = 0;
				if (strcmp(word, "Ic") == 0)
					continue;
				snprintf(path, sizeof path, "%s%s", prefix, word);
				while (i < l.count && strcmp(l.path[i], path) != 0)
					i++;
				if (i == l.count)
					fail_msg("the manual has %s, which is no setting", path);
				assert_true(here_count < sizeof here / sizeof *here);
				here[here_count++] = i;
				found[i] = l.value[i][0] == '-' || l.value[i][0] == '(' || l.value[i][0] == '/';
			}
			continue;
		}
		/* a default is a word of its own: .Cm reset */
		for (size_t i = 0; i < here_count; i++) {
			char word[64];
			size_t length = strlen(l.value[here[i]]);
			snprintf(word, sizeof word, " %s", l.value[here[i]]);
			for (const char *p = strstr(line, word); p; p = strstr(p + 1, word))
				found[here[i]] = found[here[i]] || p[length + 1] == '\0' || p[length + 1] == ' ';
		}
	}
	for (size_t i = 0; i < l.count; i++)
		if (!found[i])
			fail_msg("the manual lacks %s, or its default of %s", l.path[i], l.value[i]);
	free(manual);
	free(l.text);
}

static void parse(const char *text)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;

	if (config_parse("tcpwarden.conf", text, strlen(text), &config, &errors) < 0)
		fail_msg("%s", errors.lines[0]);
	config_free(config);
}

static void the_example_is_good_and_complete(void **state)
{
	struct listing l;
	config_t tree;
	char *example = read_text(CONF_DIR "/tcpwarden.conf");

	(void)state;
	list(&l);
	parse(example);
	/* "#setting" is a setting, "# words" are words */
	for (char *p = example; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (p[0] == '#' && p[1] != ' ' && p[1] != '\n')
			p[0] = ' ';
	parse(example);
	config_init(&tree);
	assert_true(config_read_string(&tree, example));
	for (size_t i = 0; i < l.count; i++) {
		char path[160];
		bool service = strncmp(l.path[i], "services.", 9) == 0;
		bool backend = strncmp(l.path[i], "services.backends.", 18) == 0;
		snprintf(path, sizeof path, "%s%s",
			backend   ? "services.[0].backends.[0]."
			: service ? "services.[0]."
				  : "",
			l.path[i] + (backend          ? 18
					    : service ? 9
						      : 0));
		if (!config_lookup(&tree, path))
			fail_msg("the example lacks %s", l.path[i]);
	}
	config_destroy(&tree);
	free(example);
	free(l.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_has_each_setting_and_its_default),
		cmocka_unit_test(the_example_is_good_and_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
