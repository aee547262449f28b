/* `steward --check CONFIG`: what an operator runs before a reload. It opens nothing and resolves nothing. */
#ifndef STEWARD_CONFIG_CHECK_H
#define STEWARD_CONFIG_CHECK_H
#include "steward/config/config.h"
#include "steward/config/kernel.h"

#include <stdio.h>

/* 0 and the config (free with config_free), or its errors on `err`, each as a line, and then their count, and the exit code:
 * 78 (EX_CONFIG) for a config that is bad or cannot be read. */
int check_load(const char *path, struct config **ret, FILE *err);

/* The same; if all is well, warnings go to `err` and one line to `out`. The exit code. */
int check_report(const char *path, const struct kernel *kernel, FILE *out, FILE *err);

int check_main(const char *path); /* to stdout and stderr */

/* `steward --settings`: every setting, its type, default and meaning. */
int settings_main(void);

#endif
