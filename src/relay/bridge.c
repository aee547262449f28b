#include "relay/bridge.h"

#include "relay/arrive.h"
#include "relay/give.h"
#include "relay/gone.h"
#include "relay/kill_point.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

enum {
	PACKETS_A_TURN = 64,
	GONE_MS = 600000, /* whose heart has not beaten for so long is gone, where nothing else tells */
};

static size_t packet_size(enum bridge_kind kind)
{
	return kind == BRIDGE_OFFER ? sizeof(struct bridge_packet) : offsetof(struct bridge_packet, slot);
}

int bridge_say(struct bridge *bridge, enum bridge_kind kind, struct bridge_packet *packet, const int *fds, int count)
{
	union {
		char bytes[CMSG_SPACE(BRIDGE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {packet, packet_size(kind)};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (bridge->channel < 0)
		return -EPIPE;
	packet->magic = BRIDGE_MAGIC;
	packet->version = BRIDGE_VERSION;
	packet->kind = (uint16_t)kind;
	if (count) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)count * sizeof *fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)count * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof *fds);
	}
	do
		n = sendmsg(bridge->channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* 1: here it is; 0: none waits; -ECONNRESET: the other end is closed; -EPROTO: it is of another version, or out of its mind. */
static int receive(int channel, struct bridge_packet *ret, int fds[BRIDGE_FDS_MAX], int *ret_count)
{
	union {
		char bytes[CMSG_SPACE(BRIDGE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {ret, sizeof *ret};
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;

	*ret_count = 0;
	do
		n = recvmsg(channel, &msg, MSG_DONTWAIT); /* not MSG_CMSG_CLOEXEC: what a ledger lists is open over an exec */
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -ECONNRESET;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*ret_count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)*ret_count * sizeof(int));
	}
	if (n == 0)
		return -ECONNRESET;
	if (n < (ssize_t)offsetof(struct bridge_packet, slot) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		ret->magic != BRIDGE_MAGIC || ret->version != BRIDGE_VERSION ||
		n != (ssize_t)packet_size((enum bridge_kind)ret->kind) || (ret->kind == BRIDGE_OFFER) != (*ret_count > 0))
		return -EPROTO;
	return 1;
}

static void obey(struct bridge *bridge, struct bridge_packet *packet, const int *fds, int count)
{
	switch ((enum bridge_kind)packet->kind) {
	case BRIDGE_ASK:
		bridge_say(bridge, BRIDGE_READY, packet, NULL, 0);
		break;
	case BRIDGE_READY:
		give_ready(bridge);
		break;
	case BRIDGE_OFFER:
		arrive_offered(bridge, packet, fds, count);
		break;
	case BRIDGE_HAVE:
		give_had(bridge, packet);
		break;
	case BRIDGE_NO:
		give_refused(bridge, packet);
		break;
	case BRIDGE_BACK:
		arrive_settle(bridge);
		break;
	case BRIDGE_GO:
		arrive_go(bridge, packet);
		break;
	case BRIDGE_DONE:
		gone_done(bridge, packet);
		break;
	case BRIDGE_END:
		arrive_end(bridge, packet);
		break;
	}
}

static struct ledger_bridge *entry_of(const struct bridge *bridge)
{
	return &bridge->relay->header->bridges[bridge->other];
}

/* Unlisted before it is closed. */
static void close_listed(int32_t *listed)
{
	int fd = *listed;

	*listed = -1;
	if (fd >= 0)
		close(fd);
}

bool bridge_other_is_gone(const struct bridge *bridge)
{
	const struct ledger_header *header = bridge->ledger.header;
	uint64_t beat_ms = atomic_load_explicit(&header->beat_ns, memory_order_relaxed) / 1000000;

	if (bridge->replaced)
		return true;
	return bridge->channel < 0 &&
	       (header->bridges[bridge->relay->index].number == bridge->number || bridge->relay->now_ms > beat_ms + GONE_MS);
}

/* No channel any more: what we have offered is ours again, if it is not GONE. */
static void lose(struct bridge *bridge)
{
	if (bridge->channel < 0)
		return;
	uv_poll_stop(&bridge->poll);
	bridge->channel = -1;
	bridge->ready = false;
	close_listed(&entry_of(bridge)->channel);
	kill_point();
	give_lost(bridge);
	arrive_settle(bridge);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct bridge *bridge = poll->data;
	static struct bridge_packet packet;
	int fds[BRIDGE_FDS_MAX], count, r = status < 0 ? -ECONNRESET : 1;

	(void)events;
	for (int i = 0; r == 1 && i < PACKETS_A_TURN && bridge->channel >= 0; i++) {
		r = receive(bridge->channel, &packet, fds, &count);
		if (r == 1) {
			obey(bridge, &packet, fds, count);
			continue;
		}
		for (int k = 0; k < count; k++)
			close(fds[k]);
	}
	if (r == -EPROTO)
		say(LOG_ERR, "relay %u is not understood: no session goes between it and this one", bridge->other);
	if (r < 0)
		lose(bridge);
}

static int open_bridge(struct relay *relay, uint32_t other)
{
	struct ledger_bridge *entry = &relay->header->bridges[other];
	struct bridge *bridge = calloc(1, sizeof *bridge);
	int r = bridge ? ledger_map(&bridge->ledger, entry->ledger, false) : -ENOMEM;

	if (r == 0 && (bridge->ledger.header->relay != other || bridge->ledger.header->incarnation != entry->incarnation ||
			      bridge->ledger.header->tree != relay->header->tree))
		r = -EPROTO;
	if (r == 0 && entry->channel >= 0)
		r = uv_poll_init(&relay->loop, &bridge->poll, entry->channel);
	if (r < 0) {
		if (bridge)
			ledger_unmap(&bridge->ledger);
		free(bridge);
		return r;
	}
	bridge->relay = relay;
	bridge->other = other;
	bridge->incarnation = entry->incarnation;
	bridge->number = entry->number;
	bridge->polled = entry->channel >= 0;
	bridge->channel = entry->channel;
	bridge->poll.data = bridge;
	relay->bridges[other] = bridge;
	if (bridge->channel >= 0)
		uv_poll_start(&bridge->poll, UV_READABLE, on_channel);
	relay->loop_touched = true;
	return 0;
}

static void strike(struct relay *relay, uint32_t other)
{
	struct ledger_bridge *entry = &relay->header->bridges[other];

	entry->number = 0;
	close_listed(&entry->channel);
	close_listed(&entry->ledger);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* For another one. What it was in the middle of goes on there, unless that leads to another incarnation. */
static void drop(struct bridge *bridge, bool replaced)
{
	struct relay *relay = bridge->relay;

	bridge->replaced = replaced;
	if (bridge->channel >= 0)
		uv_poll_stop(&bridge->poll);
	bridge->channel = -1;
	give_lost(bridge);
	arrive_settle(bridge);
	kill_point();
	relay->bridges[bridge->other] = NULL;
	ledger_unmap(&bridge->ledger);
	strike(relay, bridge->other);
	if (bridge->polled)
		uv_close((uv_handle_t *)&bridge->poll, on_closed);
	else
		free(bridge);
}

void bridge_told(struct relay *relay, struct message *message)
{
	const struct message_bridge *told = &message->body.bridge;
	struct ledger_bridge *entry;

	if (told->relay >= LEDGER_RELAYS || told->relay == relay->index || !told->number)
		return;
	entry = &relay->header->bridges[told->relay];
	if (entry->number == told->number)
		return;
	if (relay->bridges[told->relay])
		drop(relay->bridges[told->relay], relay->bridges[told->relay]->incarnation != told->incarnation);
	entry->incarnation = told->incarnation;
	entry->channel = message->fds[0];
	entry->ledger = message->fds[1];
	kill_point();
	entry->number = told->number;
	kill_point();
	for (int i = 0; i < 2; i++) {
		fcntl(message->fds[i], F_SETFD, 0); /* it goes over an exec with us, like all that the ledger lists */
		message->fds[i] = -1;
	}
	if (open_bridge(relay, told->relay) < 0)
		strike(relay, told->relay);
}

void bridges_start(struct relay *relay)
{
	struct bridge_packet packet = {0};

	for (uint32_t i = 0; i < LEDGER_RELAYS; i++) {
		struct ledger_bridge *entry = &relay->header->bridges[i];

		if (!entry->number || open_bridge(relay, i) < 0)
			strike(relay, i);
	}
	arrive_adopt(relay);
	for (uint32_t i = 0; i < LEDGER_RELAYS; i++)
		if (relay->bridges[i])
			bridge_say(relay->bridges[i], BRIDGE_READY, &packet, NULL, 0);
	give_begin(relay);
}

void bridges_beat(struct relay *relay)
{
	give_beat(relay);
	gone_beat(relay);
	for (uint32_t i = 0; i < LEDGER_RELAYS; i++) {
		struct bridge *bridge = relay->bridges[i];

		if (!bridge)
			continue;
		arrive_settle(bridge);
		if (bridge->channel < 0 && bridge_other_is_gone(bridge))
			drop(bridge, true);
		else if (bridge->channel < 0 && !relay->arriving && !relay->gone)
			drop(bridge, false);
	}
}

struct bridge *bridge_to(const struct relay *relay, uint32_t other, uint32_t incarnation)
{
	struct bridge *bridge = other < LEDGER_RELAYS ? relay->bridges[other] : NULL;

	return bridge && bridge->incarnation == incarnation ? bridge : NULL;
}
