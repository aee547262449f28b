/* Settings of a hook that are lists: its command, its environment. */
#include "steward/config/list.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

void read_command(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, void *into)
{
	char ***command = (void *)((char *)into + s->offset);

	if (list_count(value) == 0) {
		reader_complain(r, config_setting_source_line(value), path, "an empty command (%s)",
			"an absolute path, or a list of one and its arguments");
		return;
	}
	if (!list_read_strings(r, path, s, value, command))
		return;
	if ((*command)[0][0] != '/')
		reader_complain(r, config_setting_source_line(value), path,
			"\"%.80s\" is not an absolute path (no shell and no PATH is searched)", (*command)[0]);
	else if (strlen((*command)[0]) >= PATH_MAX)
		reader_complain(r, config_setting_source_line(value), path, "a path of %zu bytes (at most %d)",
			strlen((*command)[0]), PATH_MAX - 1);
	else if (config_setting_type(value) == CONFIG_TYPE_STRING && strchr((*command)[0], ' '))
		reader_complain(r, config_setting_source_line(value), path,
			"a path with a space in it (arguments are elements of a list: [ \"/path\", \"argument\" ])");
}

void read_environment(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, void *into)
{
	char ***environment = (void *)((char *)into + s->offset);

	if (!list_read_strings(r, path, s, value, environment))
		return;
	for (size_t i = 0; (*environment)[i]; i++) {
		const char *one = (*environment)[i], *equals = strchr(one, '=');
		char here[READER_PATH];
		unsigned line = config_setting_source_line(list_element(value, i, path, here));
		bool name = equals && equals != one && !isdigit((unsigned char)*one);

		for (const char *p = one; name && p < equals; p++)
			name = isalnum((unsigned char)*p) || *p == '_';
		if (!name)
			reader_complain(
				r, line, here, "\"%.80s\" is no variable (for example \"LICENCE_SERVER=27000@licences\")", one);
		else if (strncmp(one, "TCPWARDEN_", 10) == 0)
			reader_complain(r, line, here,
				"\"%.*s\" would hide one of ours (names that begin with TCPWARDEN_ are taken)",
				(int)(equals - one < 80 ? equals - one : 80), one);
	}
}
