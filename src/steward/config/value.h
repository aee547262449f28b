/* One setting's value: from text into the place that the table names. Durations, numbers, words and paths alike come this way,
 * from the file and from the table's defaults, so that a default is what it says it is. */
#ifndef STEWARD_CONFIG_VALUE_H
#define STEWARD_CONFIG_VALUE_H
#include "steward/config/settings.h"

enum { VALUE_WHY = 512 };

/* Into `into` (the struct that the setting's group stores into). Texts are copied; what was there before is freed.
 * 0; -ENOMEM; -EINVAL: `why` says what is wrong and what would be right. Only kinds that are one text. */
int value_store(const struct setting *setting, const char *text, void *into, char why[VALUE_WHY]);

/* The defaults of a whole group and of the groups in it. 0 or -ENOMEM. */
int value_store_defaults(const struct setting *group, void *into);

#endif
