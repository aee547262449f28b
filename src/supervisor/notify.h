/* What systemd is told (sd_notify(3)): datagrams on a socket of our own that never wait. sd_notify() itself blocks when PID 1
 * does not read, and the loop may not. What does not fit now is kept, in order, and said later; only a watchdog ping is not worth
 * it. */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { NOTIFY_KEPT = 16, NOTIFY_TEXT = 320 };

struct notify {
	int fd; /* -1: no one wants to know */
	struct sockaddr_un to;
	socklen_t to_length;
	uint32_t first, count;
	char kept[NOTIFY_KEPT][NOTIFY_TEXT];          /* a ring */
	uint64_t watchdog_every_ms, watchdog_last_ms; /* 0: no watchdog */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment. */
void notify_init(struct notify *notify);
void notify_fini(struct notify *notify);

/* For an exec of ourselves: puts into the environment what notify_init took out, or takes it out again. */
void notify_export(const struct notify *notify, bool on);

/* One datagram of NAME=VALUE lines. */
void notify_say(struct notify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Gives the service manager a copy of the descriptor to keep under that name, or (-1) takes the name back. False: not now;
 * nothing is kept. Without FDPOLL=0 it would forget what has an end of file to tell. */
bool notify_store(struct notify *notify, const char *name, int fd);

/* From the loop, a few times a second: says what was kept, and that the loop runs. */
void notify_tick(struct notify *notify, uint64_t now_ms);

#endif
