#include "wire/message.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAIN_MOST = 4096 };

static_assert(MESSAGE_KINDS <= 64, "a message_set has a bit for each kind");

static const struct {
	const char *name;
	size_t size;
	int fds;
} kinds[MESSAGE_KINDS] = {[MESSAGE_NONE] = {"NONE", 0, 0},
#define M(NAME, member, count, asks) [MESSAGE_##NAME] = {#NAME, sizeof((union message_body *)0)->member, count},
	MESSAGES(M)
#undef M
};

/* What goes over the wire: the header and the one member of the body that the kind names. */
struct packet {
	struct message_header header;
	union message_body body;
};

const char *message_name(unsigned kind)
{
	return kind < MESSAGE_KINDS ? kinds[kind].name : "?";
}

int message_channel(int ret[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

int message_send(int channel, enum message_kind kind, const void *body, const int *fds)
{
	struct message_header header = {.version = MESSAGE_VERSION, .kind = (uint16_t)kind};
	static const struct message_none none;
	union {
		char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec parts[2] = {
		{&header, sizeof header},
		{(void *)(uintptr_t)(body ? body : &none), kinds[kind].size}, /* sendmsg only reads it */
	};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
	size_t fds_size = (size_t)kinds[kind].fds * sizeof(int);
	ssize_t n;

	if (fds_size) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_size);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_size);
		memcpy(CMSG_DATA(c), fds, fds_size);
	}
	do
		n = sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void message_close_fds(struct message *message)
{
	for (int i = 0; i < MESSAGE_FDS_MAX; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
		message->fds[i] = -1;
	}
}

/* Keeps what the kind may carry and closes the rest. Returns how many came in all. */
static int take_fds(struct msghdr *msg, struct message *ret)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++, count++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (count < MESSAGE_FDS_MAX)
				ret->fds[count] = fd;
			else
				close(fd);
		}
	}
	return count;
}

/* An empty datagram and the end read alike. */
static bool has_ended(int channel)
{
	struct pollfd p = {.fd = channel, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP));
}

int message_receive(int channel, struct message *ret, message_set permitted)
{
	struct packet packet;
	union {
		char bytes[CMSG_SPACE((MESSAGE_FDS_MAX + 1) * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {&packet, sizeof packet};
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;
	int count;

	memset(ret, 0, sizeof *ret);
	for (int i = 0; i < MESSAGE_FDS_MAX; i++)
		ret->fds[i] = -1;
	do
		n = recvmsg(channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	count = take_fds(&msg, ret);
	if (n == 0 && has_ended(channel)) {
		message_close_fds(ret);
		return -ECONNRESET;
	}
	if (n >= (ssize_t)sizeof packet.header)
		ret->header = packet.header;
	if (n < (ssize_t)sizeof packet.header || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		packet.header.version != MESSAGE_VERSION || packet.header.kind == MESSAGE_NONE ||
		packet.header.kind >= MESSAGE_KINDS || !(permitted & message_bit(packet.header.kind)) ||
		(size_t)n != sizeof packet.header + kinds[packet.header.kind].size || count != kinds[packet.header.kind].fds) {
		message_close_fds(ret);
		return -EBADMSG;
	}
	memcpy(&ret->body, &packet.body, kinds[packet.header.kind].size);
	return 1;
}

void message_drain(int channel)
{
	struct message message;

	/* No queue is as long; whoever goes on talking must not keep us here. */
	for (int i = 0; i < DRAIN_MOST; i++) {
		int r = message_receive(channel, &message, ~(message_set)0);

		if (r == 0 || (r < 0 && r != -EBADMSG))
			return;
		message_close_fds(&message);
	}
}
