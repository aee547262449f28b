/* The log of unit tests: silent, unless $TEST_LOG is set; the last lines can be asked for. */
#ifndef TESTS_QUIET_LOG_H
#define TESTS_QUIET_LOG_H
#include <stdbool.h>
#include <stddef.h>

/* Whether a line that contains this was logged since quiet_log_clear. */
bool quiet_log_has(const char *part);
void quiet_log_clear(void);

#endif
