/* journald's native protocol: one datagram a record, fields of any content (systemd: docs/JOURNAL_NATIVE_PROTOCOL.md).
 * A record is filled on the stack and sent at once; nothing waits and nothing is kept. */
#ifndef STEWARD_LOG_JOURNAL_H
#define STEWARD_LOG_JOURNAL_H
#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum { JOURNAL_RECORD_SIZE = 16384 };
struct journal_record {
	size_t used;
	bool full; /* a field did not fit and was left out */
	char bytes[JOURNAL_RECORD_SIZE];
};

void journal_add(struct journal_record *record, const char *name, const char *value, size_t length);

/* A non-blocking datagram socket, not connected, so that a restarted journald is found again. The descriptor or -errno. */
int journal_open(void);

/* 0 or -errno: -EAGAIN journald is behind; -ENOENT, -ECONNREFUSED it is not there. */
int journal_send(int fd, const char *path, const struct journal_record *record);

/* True if descriptor `fd` is the stream that $JOURNAL_STREAM names (systemd.exec(5)). */
bool journal_is_stream(int fd, const char *journal_stream);

#endif
