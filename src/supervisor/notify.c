#include "supervisor/notify.h"

#include "wire/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void init_socket(struct notify *notify, const char *path)
{
	size_t length = path ? strlen(path) : 0;

	if (!length)
		return;
	if ((path[0] != '/' && path[0] != '@') || length >= sizeof notify->to.sun_path) {
		say(LOG_WARNING, "NOTIFY_SOCKET=%s is neither an absolute path nor an abstract name: no one is notified", path);
		return;
	}
	notify->to.sun_family = AF_UNIX;
	memcpy(notify->to.sun_path, path, length);
	if (path[0] == '@')
		notify->to.sun_path[0] = '\0'; /* unix(7): the abstract namespace */
	notify->to_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->fd < 0)
		say(LOG_WARNING, "no socket to notify the service manager with: %s", strerror(errno));
}

void notify_init(struct notify *notify)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	memset(notify, 0, sizeof *notify);
	notify->fd = -1;
	init_socket(notify, getenv("NOTIFY_SOCKET"));
	if (usec && (!pid || strtol(pid, NULL, 10) == (long)getpid())) {
		notify->watchdog_every_ms = strtoull(usec, NULL, 10) / 2000; /* sd_watchdog_enabled(3): at half the time */
		if (!notify->watchdog_every_ms && strtoull(usec, NULL, 10))
			notify->watchdog_every_ms = 1;
	}
	notify_export(notify, false);
}

/* Roles and hooks are not the service's main process: for them there is nothing of it. */
void notify_export(const struct notify *notify, bool on)
{
	char path[sizeof notify->to.sun_path + 1] = "", usec[24];

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (!on || notify->fd < 0)
		return;
	memcpy(path, notify->to.sun_path, notify->to_length - offsetof(struct sockaddr_un, sun_path));
	if (!path[0])
		path[0] = '@';
	setenv("NOTIFY_SOCKET", path, 1);
	if (notify->watchdog_every_ms) {
		snprintf(usec, sizeof usec, "%llu", (unsigned long long)notify->watchdog_every_ms * 2000);
		setenv("WATCHDOG_USEC", usec, 1);
	}
}

void notify_fini(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

/* False: later. What can never be sent counts as sent. fd: -1: none. */
static bool send_with(struct notify *notify, const char *text, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.align = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)}};
	struct iovec part = {(void *)(uintptr_t)text, strlen(text)}; /* sendmsg only reads it */
	struct msghdr msg = {.msg_name = &notify->to, .msg_namelen = notify->to_length, .msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
	}
	n = sendmsg(notify->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != EINTR && errno != ETOOMANYREFS);
}

static bool send_now(struct notify *notify, const char *text)
{
	return send_with(notify, text, -1);
}

static void flush(struct notify *notify)
{
	while (notify->count && send_now(notify, notify->kept[notify->first])) {
		notify->first = (notify->first + 1) % NOTIFY_KEPT;
		notify->count--;
	}
}

void notify_say(struct notify *notify, const char *format, ...)
{
	va_list arguments;
	char *text;

	if (notify->fd < 0)
		return;
	if (notify->count == NOTIFY_KEPT) { /* the oldest news is the least wanted */
		notify->first = (notify->first + 1) % NOTIFY_KEPT;
		notify->count--;
	}
	text = notify->kept[(notify->first + notify->count) % NOTIFY_KEPT];
	va_start(arguments, format);
	vsnprintf(text, NOTIFY_TEXT, format, arguments);
	va_end(arguments);
	notify->count++;
	flush(notify);
}

bool notify_store(struct notify *notify, const char *name, int fd)
{
	char text[NOTIFY_TEXT];

	if (notify->fd < 0)
		return true;
	snprintf(text, sizeof text, fd >= 0 ? "FDSTORE=1\nFDPOLL=0\nFDNAME=%s" : "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return send_with(notify, text, fd);
}

void notify_tick(struct notify *notify, uint64_t now_ms)
{
	if (notify->fd < 0)
		return;
	flush(notify);
	if (notify->watchdog_every_ms && now_ms - notify->watchdog_last_ms >= notify->watchdog_every_ms &&
		send_now(notify, "WATCHDOG=1"))
		notify->watchdog_last_ms = now_ms;
}
