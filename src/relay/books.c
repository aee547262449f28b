#include "relay/books.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* include/net/tcp_states.h; netinet/tcp.h has them too but clashes with linux/tcp.h, whose tcp_info is complete. */
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING = 11 };

static int count(int fd, unsigned long what)
{
	int n = 0;

	return ioctl(fd, what, &n) < 0 ? 0 : n;
}

int books_unacknowledged(int fd)
{
	return count(fd, SIOCOUTQ);
}

int books_unread(int fd)
{
	return count(fd, SIOCINQ);
}

/* rcv_nxt - copied_seq with a FIN counted, from the control message of an empty peek; -errno. */
static int hint(int fd)
{
	int one = 1, value = 0, error;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {.msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;

	if (setsockopt(fd, IPPROTO_TCP, TCP_INQ, &one, sizeof one) < 0)
		return -errno;
	n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	error = n < 0 ? errno : 0;
	if (error)
		return -error;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ)
			memcpy(&value, CMSG_DATA(c), sizeof value);
	return value;
}

/* Only CLOSE needs to ask further; there the hint counts a FIN and SIOCINQ does not, so that they differ by one exactly
 * if there was one. A pending error answers first, and only once. */
static bool fin_received(int fd, int state, int *error)
{
	int raw;

	if (state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING || state == TIME_WAIT)
		return true;
	if (state != CLOSE)
		return false;
	raw = hint(fd);
	if (raw < 0 && raw != -EAGAIN) {
		*error = -raw;
		raw = hint(fd);
	}
	return raw >= 0 && raw - count(fd, SIOCINQ) == 1;
}

int books_info(int fd, struct tcp_info *ret)
{
	socklen_t length = sizeof *ret;

	memset(ret, 0, sizeof *ret);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &length) < 0 ? -errno : 0;
}

int books_asked(int fd, struct books_asked *ret)
{
	struct tcp_info now;
	int r = books_info(fd, &now);

	if (r < 0)
		return r;
	ret->probes = now.tcpi_probes;
	ret->silent_ms = now.tcpi_last_ack_recv < now.tcpi_last_data_recv ? now.tcpi_last_ack_recv : now.tcpi_last_data_recv;
	return 0;
}

int books_state(int fd)
{
	struct tcp_info now;
	int r = books_info(fd, &now);

	return r < 0 ? r : now.tcpi_state;
}

/* Nothing given to it is unacknowledged, which one look tells: SIOCOUTQ would have been 0. After a reset these say 0 whatever
 * there was. If moreover nothing is unread a moment later, nothing was at that look, since only we take. */
static bool is_at_rest(const struct tcp_info *info)
{
	return info->tcpi_state != CLOSE && info->tcpi_unacked == 0 && info->tcpi_notsent_bytes == 0;
}

int books_read(int fd, unsigned known, struct books *ret)
{
	struct tcp_info a, b;
	int unread, unacknowledged, error = 0, r;
	bool fin_in, fin_out;

	/* The counters move under us while packets come in; what was read counts only if they stood still meanwhile. */
	do {
		r = books_info(fd, &a);
		if (r < 0)
			return r;
		fin_in = (known & BOOKS_FINISHED) || fin_received(fd, a.tcpi_state, &error);
		unread = count(fd, SIOCINQ);
		unacknowledged = 0;
		if (unread == 0 && is_at_rest(&a))
			break;
		unacknowledged = count(fd, SIOCOUTQ);
		r = books_info(fd, &b);
		if (r < 0)
			return r;
	} while (a.tcpi_bytes_received != b.tcpi_bytes_received || a.tcpi_bytes_acked != b.tcpi_bytes_acked ||
		 a.tcpi_state != b.tcpi_state);

	switch (a.tcpi_state) {
	case FIN_WAIT1:
	case FIN_WAIT2:
	case CLOSING:
	case LAST_ACK:
	case TIME_WAIT:
		fin_out = true;
		break;
	case CLOSE:
		fin_out = known & BOOKS_SHUT;
		break;
	default: /* a number from the kernel, not an enum of ours */
		fin_out = false;
	}
	ret->unread = unread;
	ret->received = (int64_t)a.tcpi_bytes_received - fin_in;
	ret->taken = ret->received - unread;
	ret->given = (int64_t)a.tcpi_bytes_acked + unacknowledged - fin_out;
	/* A FIN is the last thing to be acknowledged: with nothing outstanding it is among the acked, else it is not. */
	ret->fin_acked = fin_out && unacknowledged == 0;
	ret->acked = (int64_t)a.tcpi_bytes_acked - ret->fin_acked;
	ret->state = a.tcpi_state;
	ret->fin_received = fin_in;
	ret->error = error;
	return 0;
}

bool books_end_is_clean(int fd, int *error)
{
	struct tcp_info a, b;
	bool clean;

	*error = 0;
	do {
		if (books_info(fd, &a) < 0)
			return true;
		clean = fin_received(fd, a.tcpi_state, error);
		if (books_info(fd, &b) < 0)
			return true;
	} while (a.tcpi_state != b.tcpi_state);
	return clean;
}
