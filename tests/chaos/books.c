#include "books.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int info(int fd, struct tcp_info *ret)
{
	socklen_t length = sizeof *ret;

	memset(ret, 0, sizeof *ret);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &length) < 0 ? -errno : 0;
}

static int count(int fd, unsigned long what)
{
	int n = 0;

	return ioctl(fd, what, &n) < 0 ? 0 : n;
}

int books_look(int fd, enum side side, bool fin, struct books *ret)
{
	struct tcp_info a, b;
	int unread, unacknowledged, r;

	/* Packets come in between the calls: what was read counts only if the numbers stood still. */
	do {
		r = info(fd, &a);
		if (r < 0)
			return r;
		unread = count(fd, SIOCINQ);
		unacknowledged = count(fd, SIOCOUTQ);
		r = info(fd, &b);
		if (r < 0)
			return r;
	} while (a.tcpi_bytes_received != b.tcpi_bytes_received || a.tcpi_bytes_acked != b.tcpi_bytes_acked ||
		 a.tcpi_state != b.tcpi_state);
	/* A FIN is the last thing to be acknowledged. */
	ret->fin_acked = fin && unacknowledged == 0;
	ret->acked = a.tcpi_bytes_acked - ret->fin_acked;
	/* The side that connected counts its SYN. */
	if (side == CLIENT && ret->acked)
		ret->acked--;
	ret->received = a.tcpi_bytes_received;
	ret->unread = (uint64_t)unread;
	ret->state = a.tcpi_state;
	return 0;
}

bool books_settle(int fd)
{
	struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
	struct sock_fprog program = {.len = 1, .filter = &nothing};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

void books_mute(int fd)
{
	int mark = BOOKS_MARK;

	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
}

void books_unsettle(int fd)
{
	int none = 0;

	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}
