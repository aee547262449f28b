/* From what is said (line.c) to where it goes (log.c, or what stands in its place in a test). */
#ifndef STEWARD_LOG_WRITE_H
#define STEWARD_LOG_WRITE_H
#include "steward/log/record.h"

#include <stdbool.h>

void log_write(const struct log_record *record);

/* Whether such an event is to be told at all. */
bool log_wants(const struct ledger_event *event);

#endif
