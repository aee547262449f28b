/* One word of the ledger, its owner, says who may move bytes; each change of it is a compare-and-swap from what was there before.
 * The old relay rests from BEGIN on; it looks at the word, and does nothing else, until its successor has moved it on or it
 * has moved it on itself. So at any moment at most one moves bytes, and whoever fails to move the word ends.
 *
 *   step                      owner    descriptors are in     to move on
 *   1 heir started, HERE      old      old table              old relay: gives
 *   2 some PARTs sent         old      old, some in the new   old relay: gives
 *   3 WHOLE sent              old      both                   new relay: moves the word; old relay: at its deadline, back
 *   4 word moved, TAKEN       new      both                   old relay: ends, and its holder with it
 *   5 old table gone          new      new table              new relay: adopts, is ready
 *
 *   who dies      in 1, 2                        in 3                                  in 4, 5
 *   old relay     its holder moves the word on   as in 1, if the holder comes before   nothing is lost: it had ended
 *                 and clones another; the heir   the new relay; else as in 4
 *                 sees the channel's end: ends
 *   old holder    the old relay becomes one,     as in 1, or as in 4                   nothing
 *                 when it does not give up
 *   both          the table, and the sessions    the new relay owns                    nothing
 *   heir          the old relay sees the         its relay dies with it: as new relay  its relay becomes holder
 *                 channel's end: goes on
 *   new relay     -                              the heir ends, the old relay sees     the heir clones another; after
 *                                                that: goes on                         three, or too late, it becomes the
 *                                                                                      former program, which adopts
 *   supervisor    nothing: none of these steps needs it; its successor finds the owner in the ledger
 *
 * The supervisor's, the steward's and the lock's descriptors are among those that are given. So the far end of the supervisor's
 * channel is open as long as either table is, and its end still means that the sessions are gone. What a hung heir still has of
 * our sockets would keep a close from reaching the peer: the supervisor kills it. */
#include "relay/hand_over.h"

#include "base/clock.h"
#include "relay/kill_point.h"
#include "relay/own.h"
#include "relay/table.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

enum { BEAT_EVERY_MS = 100 };

struct hand_over {
	uv_poll_t poll; /* for HERE */
	struct relay *relay;
	int channel;
	struct message_hand_over asked;
	uint64_t deadline_ms;
};

int hand_over_send(int channel, struct hand_over_packet *packet, enum hand_over_kind kind, const int *fds)
{
	union {
		char bytes[CMSG_SPACE(HAND_OVER_AT_ONCE * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {packet, sizeof *packet};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	packet->magic = HAND_OVER_MAGIC;
	packet->version = HAND_OVER_VERSION;
	packet->kind = (uint16_t)kind;
	if (fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof control);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(packet->count * sizeof *fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(packet->count * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, packet->count * sizeof *fds);
	}
	do
		n = sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int await(int channel, int wait_ms)
{
	struct pollfd ready = {.fd = channel, .events = POLLIN};
	int r;

	do
		r = poll(&ready, 1, wait_ms);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

/* n: as recv(2) says. */
static int check(const struct hand_over_packet *packet, ssize_t n)
{
	if (n <= 0)
		return n < 0 && errno != ECONNRESET ? -errno : -ECONNRESET;
	if (n != (ssize_t)sizeof *packet || packet->magic != HAND_OVER_MAGIC || packet->version != HAND_OVER_VERSION)
		return -EPROTO;
	return packet->kind == HAND_OVER_PART && packet->count > HAND_OVER_AT_ONCE ? -EPROTO : 0;
}

int hand_over_peek(int channel, struct hand_over_packet *packet, int wait_ms)
{
	int r = await(channel, wait_ms);

	return r < 0 ? r : check(packet, recv(channel, packet, sizeof *packet, MSG_DONTWAIT | MSG_PEEK));
}

int hand_over_receive(int channel, struct hand_over_packet *packet, int *fds, int wait_ms)
{
	union {
		char bytes[CMSG_SPACE(HAND_OVER_AT_ONCE * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {packet, sizeof *packet};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	uint32_t came = 0;
	int r = await(channel, wait_ms);

	if (r < 0)
		return r;
	if (fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
	}
	/* not MSG_CMSG_CLOEXEC: what a ledger lists is open over an exec */
	r = check(packet, recvmsg(channel, &msg, MSG_DONTWAIT));
	if (r < 0)
		return r;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); fds && c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		came = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), came * sizeof(int));
	}
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (packet->kind == HAND_OVER_PART) != (came > 0) ||
		(came > 0 && came != packet->count))
		return -EPROTO;
	return 0;
}

static void beat(const struct hand_over *h)
{
	/* We rest, and do not hang. */
	atomic_store_explicit(&h->relay->header->beat_ns, clock_mono_ns(), memory_order_relaxed);
}

/* How long to wait until the next heartbeat, 0: the time allowed is over. */
static int left_ms(const struct hand_over *h)
{
	uint64_t now_ms = clock_mono_ms();

	beat(h);
	if (now_ms >= h->deadline_ms)
		return 0;
	return h->deadline_ms - now_ms < BEAT_EVERY_MS ? (int)(h->deadline_ms - now_ms) : BEAT_EVERY_MS;
}

static int send_patiently(struct hand_over *h, struct hand_over_packet *packet, enum hand_over_kind kind, const int *fds)
{
	for (;;) {
		int r = hand_over_send(h->channel, packet, kind, fds), wait_ms = left_ms(h);
		struct pollfd ready = {.fd = h->channel, .events = POLLOUT};

		kill_point();
		if (r != -EAGAIN && r != -ETOOMANYREFS && r != -ENOBUFS)
			return r;
		if (!wait_ms)
			return -ETIMEDOUT;
		/* Too many descriptors under way: no event tells when the heir has taken some. */
		if (r == -EAGAIN)
			poll(&ready, 1, wait_ms);
		else
			poll(NULL, 0, 1);
	}
}

static bool is_given(const struct table *table, uint32_t fd)
{
	return table_is(table, (int)fd, TABLE_OPEN | TABLE_LISTED) && fd >= INHERIT_SUPERVISOR &&
	       (fd <= HOLDER_CENSUS || fd >= HOLDER_INHERITED_END);
}

/* All that the ledger lists, what the holder inherited, and the set with the sockets in it. */
static int send_all(struct hand_over *h)
{
	struct hand_over_packet packet = {0};
	struct table table;
	uint32_t total = 0;
	int r = table_init(&table, h->relay);

	if (r < 0)
		return r;
	table.of[h->relay->epoll] |= TABLE_LISTED;
	for (uint32_t fd = 0; fd < table.size; fd++)
		if (is_given(&table, fd))
			packet.highest = fd;
	r = send_patiently(h, &packet, HAND_OVER_BEGIN, NULL);
	for (uint32_t fd = 0; r == 0 && fd <= packet.highest; fd++) {
		if (is_given(&table, fd))
			packet.fds[packet.count++] = (int32_t)fd;
		if (!packet.count || (packet.count < HAND_OVER_AT_ONCE && fd < packet.highest))
			continue;
		r = send_patiently(h, &packet, HAND_OVER_PART, packet.fds);
		total += packet.count;
		packet.count = 0;
	}
	table_fini(&table);
	if (r < 0)
		return r;
	packet.count = total;
	packet.owner = atomic_load(&h->relay->header->owner);
	packet.number = h->asked.number;
	packet.allowed_ms = h->asked.allowed_ms;
	return send_patiently(h, &packet, HAND_OVER_WHOLE, NULL);
}

static int await_taken(struct hand_over *h)
{
	struct hand_over_packet packet;

	for (;;) {
		int wait_ms = left_ms(h), r;

		if (!wait_ms)
			return -ETIMEDOUT;
		r = hand_over_receive(h->channel, &packet, NULL, wait_ms);
		if (r != -ETIMEDOUT)
			return r < 0 ? r : packet.kind == HAND_OVER_TAKEN ? 0 : -EPROTO;
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct hand_over *h = handle->data;

	close(h->channel);
	free(h);
}

static void end(struct hand_over *h)
{
	h->relay->hand_over = NULL;
	uv_close((uv_handle_t *)&h->poll, on_closed);
}

/* Between two turns' work, so every session stands between two steps. Returns if we still are who moves bytes. */
static void give(struct hand_over *h)
{
	struct relay *relay = h->relay;
	struct ledger_header *header = relay->header;
	uint64_t owner = atomic_load(&header->owner);
	int r;

	h->deadline_ms = clock_mono_ms() + h->asked.pause_ms;
	own_check_all(relay); /* what it does not list is not given */
	kill_point();
	relay_watch_loop(relay, false); /* what waits for us there would keep the heir's relay awake, as long as we are */
	r = send_all(h);
	kill_point();
	if (r == 0)
		r = await_taken(h);
	/* Whatever was said, the word decides. Moved on, it can no longer be taken from us with the one that we sent. */
	if (!ledger_owner_move(header, owner, getpid())) {
		say(LOG_INFO, "handed over: another relay goes on");
		_exit(0);
	}
	say(LOG_WARNING, "not handed over: %s; this relay goes on",
		r == -ETIMEDOUT    ? "the new one did not take over in time"
		: r == -ECONNRESET ? "the new one has ended"
				   : strerror(r ? -r : EPROTO));
	relay_watch_loop(relay, true);
	relay->now_ms = clock_mono_ms();
}

static void on_heir(uv_poll_t *poll, int status, int events)
{
	struct hand_over *h = poll->data;
	struct hand_over_packet packet;
	int r = hand_over_receive(h->channel, &packet, NULL, 0);

	(void)status;
	(void)events;
	if (r == -ETIMEDOUT)
		return;
	if (r == 0 && packet.kind == HAND_OVER_HERE)
		give(h);
	end(h);
}

void hand_over_asked(struct relay *relay, struct message *message)
{
	struct hand_over *h = calloc(1, sizeof *h);

	if (relay->hand_over) /* that one came to nothing, or the supervisor would not ask again */
		end(relay->hand_over);
	if (!h || uv_poll_init(&relay->loop, &h->poll, message->fds[0]) < 0) {
		free(h);
		return; /* the heir sees its end closed */
	}
	h->relay = relay;
	h->channel = message->fds[0];
	h->asked = message->body.hand_over;
	h->poll.data = h;
	message->fds[0] = -1;
	relay->hand_over = h;
	uv_poll_start(&h->poll, UV_READABLE, on_heir);
	relay->loop_touched = true;
}
