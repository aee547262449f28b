/* `steward --explain CONFIG [SERVICE]`: what the times of a config come to on this kernel. For each thing that a connection may
 * be doing it says after how long a dead peer is noticed, for each side, and by what. It opens nothing and resolves nothing. */
#ifndef STEWARD_CONFIG_EXPLAIN_H
#define STEWARD_CONFIG_EXPLAIN_H
#include "steward/config/kernel.h"

#include <stdio.h>

/* service NULL: all of them. The exit code: 0; 64 (EX_USAGE) if there is no such service; 78 for a bad config, whose errors go to
 * `err`. */
int explain_report(const char *path, const char *service, const struct kernel *kernel, FILE *out, FILE *err);

int explain_main(const char *path, const char *service); /* of the running kernel, to stdout and stderr */

#endif
