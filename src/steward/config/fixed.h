/* What of a config can only change at a start, and differs from what is in force: said at a reload, no error. A pure function. */
#ifndef STEWARD_CONFIG_FIXED_H
#define STEWARD_CONFIG_FIXED_H
#include "steward/config/config.h"

/* A line "FILE: SETTING: takes effect ..." for each. */
void fixed_tell(const struct config *old, const struct config *new, void (*tell)(void *context, const char *line), void *context);

#endif
