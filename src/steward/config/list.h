/* A list in a config, or a single value that stands for a list of one. Knows no setting. */
#ifndef STEWARD_CONFIG_LIST_H
#define STEWARD_CONFIG_LIST_H
#include "steward/config/reader.h"

size_t list_count(const config_setting_t *value);

/* The i-th of them; `here` is where it stands, for messages. */
const config_setting_t *list_element(const config_setting_t *value, size_t i, const char *path, char here[READER_PATH]);

/* A list of texts into *ret, NULL-terminated; what was there before is freed. False: there were errors. */
bool list_read_strings(
	struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value, char ***ret);

#endif
