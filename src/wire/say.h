/* Short lines for operators from roles that have no logger of their own (supervisor, holder, relay): text on stderr, with the
 * priority in front where stderr is the journal. It never waits: a line that cannot be written now is dropped and counted, and
 * the count is told with the next line that can. The steward logs sessions by a logger of its own. */
#ifndef WIRE_SAY_H
#define WIRE_SAY_H
#include <stdint.h>
#include <syslog.h>

/* Who speaks: "supervisor", "relay 0"; copied. Looks at stderr once, so call it again should stderr become another file. */
void say_open(const char *who);

/* priority as in syslog(3). The text has no newline of its own; what is no printable text in it becomes '?'. */
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines dropped so far. */
uint64_t say_dropped(void);

#endif
