/* Where this role writes: text on stderr, or native fields to journald, without ever waiting for either.
 * What cannot be written now is dropped and counted, and the count is told when writing works again. */
#ifndef STEWARD_LOG_LOG_H
#define STEWARD_LOG_LOG_H
#include "steward/config/config.h"
#include "wire/ledger.h"

#include <stdarg.h>

/* Priorities are syslog's: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG (syslog(3)). */
void log_open(void); /* as text, until log_configure */
void log_configure(const struct config *config);
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of a hook's stderr, or what else belongs to one session. */
void log_session_line(int priority, const char *service, uint64_t session, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The one line at a session's start or end, from its event; `local` and `backend` name what an endpoint cannot (unix paths), or
 * NULL. */
void log_session_event(const struct ledger_event *event, const char *local, const char *backend);

uint64_t log_dropped(void);

#endif
