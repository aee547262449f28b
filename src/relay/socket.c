#include "relay/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int set(int fd, int level, int option, int value, const char *name, const char **ret_option)
{
	if (setsockopt(fd, level, option, &value, sizeof value) == 0)
		return 0;
	*ret_option = name;
	return -errno;
}

int socket_apply(int fd, int family, const struct side_policy *p, const char **ret_option)
{
	const struct {
		int level, option, value;
		const char *name;
	} options[] = {
		{SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"},
		{IPPROTO_TCP, TCP_NODELAY, p->nodelay, "TCP_NODELAY"},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, (int)p->user_timeout_ms, "TCP_USER_TIMEOUT"},
		{SOL_SOCKET, SO_KEEPALIVE, p->keepalive_idle_s > 0, "SO_KEEPALIVE"},
		{IPPROTO_TCP, TCP_KEEPIDLE, (int)p->keepalive_idle_s, "TCP_KEEPIDLE"},
		{IPPROTO_TCP, TCP_KEEPINTVL, (int)p->keepalive_interval_s, "TCP_KEEPINTVL"},
		{IPPROTO_TCP, TCP_KEEPCNT, (int)p->keepalive_count, "TCP_KEEPCNT"},
	};
	/* Zero is no keepalive time that the kernel would take. */
	size_t n = p->keepalive_idle_s ? sizeof options / sizeof *options : 4;

	if (family == AF_UNIX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int r = set(fd, options[i].level, options[i].option, options[i].value, options[i].name, ret_option);
		if (r < 0)
			return r;
	}
	return 0;
}

static void set_linger(int fd, int on)
{
	struct linger linger = {.l_onoff = on, .l_linger = 0};

	/* Never a positive time: close(2) would block for it, even on a non-blocking socket. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void socket_arm_reset(int fd)
{
	set_linger(fd, 1);
}

void socket_disarm_reset(int fd)
{
	set_linger(fd, 0);
}

bool socket_is_armed(int fd)
{
	struct linger linger = {0};
	socklen_t length = sizeof linger;

	return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff;
}

int socket_family(int fd)
{
	int family = 0;
	socklen_t length = sizeof family;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) < 0 ? -errno : family;
}
