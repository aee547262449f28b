/* `steward --check CONFIG`: what an operator runs before a reload. It opens nothing and resolves nothing. */
#ifndef STEWARD_CONFIG_CHECK_H
#define STEWARD_CONFIG_CHECK_H
#include <stdio.h>

/* Errors go to `err`, each as a line, and then their count; warnings (a hook's program is not there, ...) also; if all is well
 * one line to `out`. The exit code: 0; 78 (EX_CONFIG) for a bad config; 66 (EX_NOINPUT) for a file that cannot be read. */
int check_report(const char *path, FILE *out, FILE *err);

int check_main(const char *path); /* to stdout and stderr */

/* `steward --settings`: every setting, its type, default and meaning. */
int settings_main(void);

#endif
