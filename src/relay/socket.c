#include "relay/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* linux/tcp.h since 6.15 */
enum { RTO_MAX_MS = 44, RTO_MAX_DEFAULT_MS = 120000 };

struct option {
	int level, option, value;
	const char *name;
};

static int set_all(int fd, const struct option *options, size_t count, const char **ret_option)
{
	for (size_t i = 0; i < count; i++) {
		if (setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof options[i].value) == 0)
			continue;
		*ret_option = options[i].name;
		return -errno;
	}
	return 0;
}

int socket_set_keepalive(int fd, const struct side_policy *p, const char **ret_option)
{
	const struct option options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, p->keepalive_idle_s > 0, "SO_KEEPALIVE"},
		{IPPROTO_TCP, TCP_KEEPCNT, (int)p->keepalive_count, "TCP_KEEPCNT"},
		{IPPROTO_TCP, TCP_KEEPINTVL, (int)p->keepalive_interval_s, "TCP_KEEPINTVL"},
		{IPPROTO_TCP, TCP_KEEPIDLE, (int)p->keepalive_idle_s, "TCP_KEEPIDLE"},
	};

	/* Zero is no keepalive time that the kernel would take. */
	return set_all(fd, options, p->keepalive_idle_s ? sizeof options / sizeof *options : 1, ret_option);
}

void socket_press(int fd)
{
	int idle_s = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

int socket_tune(int fd, const struct side_policy *p, const char **ret_option)
{
	const struct option options[] = {
		{SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"},
		{IPPROTO_TCP, TCP_NODELAY, p->nodelay, "TCP_NODELAY"},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, (int)p->user_timeout_ms, "TCP_USER_TIMEOUT"},
	};

	return set_all(fd, options, sizeof options / sizeof *options, ret_option);
}

int socket_apply(int fd, int family, const struct side_policy *p, const char **ret_option)
{
	int r = family == AF_UNIX ? 0 : socket_tune(fd, p, ret_option);

	if (family == AF_UNIX)
		return 0;
	return r < 0 ? r : socket_set_keepalive(fd, p, ret_option);
}

void socket_pace(int fd, const struct side_policy *p, uint32_t rto_max_ms)
{
	uint32_t ms = p->ask_gap_ms && p->ask_gap_ms < rto_max_ms ? p->ask_gap_ms : rto_max_ms;

	if (rto_max_ms)
		setsockopt(fd, IPPROTO_TCP, RTO_MAX_MS, &ms, sizeof ms);
}

void socket_set_user_timeout(int fd, uint32_t timeout_ms)
{
	int ms = (int)timeout_ms;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void socket_bound_background(int fd, uint32_t timeout_ms)
{
	int rto_max_ms = RTO_MAX_DEFAULT_MS;

	socket_set_user_timeout(fd, timeout_ms);
	setsockopt(fd, IPPROTO_TCP, RTO_MAX_MS, &rto_max_ms, sizeof rto_max_ms); /* an older kernel has none */
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

int socket_drop(int fd, size_t bytes)
{
	while (bytes) {
		/* It may stop short at an urgent mark that came after the peek. */
		ssize_t n = recv(fd, NULL, bytes, MSG_TRUNC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		bytes -= (size_t)n;
	}
	return 0;
}
