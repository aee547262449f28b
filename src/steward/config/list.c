#include "steward/config/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t list_count(const config_setting_t *value)
{
	int type = config_setting_type(value);

	return type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY ? (size_t)config_setting_length(value) : 1;
}

const config_setting_t *list_element(const config_setting_t *value, size_t i, const char *path, char here[READER_PATH])
{
	int type = config_setting_type(value);

	if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) {
		snprintf(here, READER_PATH, "%s", path);
		return value;
	}
	snprintf(here, READER_PATH, "%.140s[%zu]", path, i);
	return config_setting_get_elem(value, (unsigned)i);
}

static void free_strings(char **list)
{
	if (!list)
		return;
	for (char **p = list; *p; p++)
		free(*p);
	free(list);
}

bool list_read_strings(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, char ***ret)
{
	size_t count = list_count(value);
	char **list = calloc(count + 1, sizeof *list), here[READER_PATH];

	if (!list) {
		r->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *one = list_element(value, i, path, here);
		if (config_setting_type(one) != CONFIG_TYPE_STRING) {
			reader_complain_type(r, here, s, one);
			goto fail;
		}
		list[i] = strdup(config_setting_get_string(one));
		if (!list[i]) {
			r->no_memory = true;
			goto fail;
		}
	}
	free_strings(*ret);
	*ret = list;
	return true;
fail:
	free_strings(list);
	return false;
}
