#include "conn.h"

#include "pattern.h"
#include "script.h"
#include "tool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 };
enum { UP, DOWN };

static unsigned char buffer[CHUNK];

int engine_init(struct engine *ret, enum role role, uint64_t seed)
{
	memset(ret, 0, sizeof *ret);
	ret->role = role;
	ret->seed = seed;
	ret->epoll = epoll_create1(EPOLL_CLOEXEC);
	return ret->epoll < 0 ? -errno : 0;
}

static void note_error(struct conn *c, int error)
{
	if (error == ECONNRESET || error == EPIPE)
		c->reset_seen = true;
	else if (!c->in_error)
		c->in_error = error;
}

static uint64_t draw(struct engine *e, struct conn *c)
{
	return mix64(e->seed + c->request.id * 0x10001 + (uint64_t)c->role * 0x777 + c->draws++ * 0x9e3779b97f4a7c15u);
}

/* Sizes are spread evenly over their magnitudes, so that small ones are not rare. */
static uint64_t next_message(struct engine *e, struct conn *c)
{
	uint64_t low = c->request.size_min ? c->request.size_min : 1, high = c->request.size_max, top = low;
	uint64_t steps = 0;

	for (; top * 2 <= high; top *= 2)
		steps++;
	top = low << (steps ? draw(e, c) % (steps + 1) : 0);
	top += draw(e, c) % (top * 2 > high ? high - top + 1 : top);
	return top > CHUNK ? CHUNK : top;
}

static void do_send(struct engine *e, struct conn *c)
{
	const unsigned char *from = buffer;
	uint64_t payload = c->sent;
	size_t n;
	ssize_t sent;

	if (!c->message_left)
		c->message_left = next_message(e, c);
	if (c->message_left > script_out_total(c) - c->sent)
		c->message_left = script_out_total(c) - c->sent;
	n = c->message_left;
	if (c->role == ROLE_CLIENT && c->sent < sizeof c->request) {
		from = (const unsigned char *)&c->request + c->sent;
		n = sizeof c->request - c->sent;
	} else {
		if (c->role == ROLE_CLIENT)
			payload -= sizeof c->request;
		pattern_fill(pattern_key(c->request.id, c->role == ROLE_CLIENT ? UP : DOWN), payload, buffer, n);
	}
	sent = send(c->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	c->blocked = false;
	if (sent < 0) {
		if (errno == EAGAIN || errno == EINTR) {
			c->blocked = true;
		} else {
			note_error(c, errno);
			c->send_failed = true;
		}
		return;
	}
	c->sent += (uint64_t)sent;
	e->tally.bytes_sent += (uint64_t)sent;
	if (from == buffer) {
		c->message_left -= (uint64_t)sent;
		if (!c->message_left && c->request.pace_ms && !e->hurried)
			c->next_send_ms = now_ms() + c->request.pace_ms;
	} else {
		c->message_left = 0;
	}
}

static void check_bytes(struct engine *e, struct conn *c, const unsigned char *data, size_t n)
{
	uint64_t at = c->received;
	size_t right;

	if (c->role == ROLE_BACKEND)
		at -= sizeof c->request;
	if (c->role == ROLE_CLIENT && c->request.kind == KIND_MESSAGE) {
		size_t length = strlen(e->message);

		for (right = 0; right < n && at + right < length && data[right] == (unsigned char)e->message[at + right]; right++)
			;
	} else {
		right = pattern_check(pattern_key(c->request.id, c->role == ROLE_CLIENT ? DOWN : UP), at, data, n);
	}
	if (right < n && !c->wrong) {
		c->wrong = true;
		c->wrong_at = at + right;
	}
}

static void do_receive(struct engine *e, struct conn *c)
{
	ssize_t got;

	if (c->role == ROLE_BACKEND && !c->requested) {
		got = recv(c->fd, (unsigned char *)&c->request + c->received, sizeof c->request - c->received, MSG_DONTWAIT);
	} else {
		got = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
		if (got > 0)
			check_bytes(e, c, buffer, (size_t)got);
	}
	if (got >= 0 && !e->hurried) { /* after that all talk at once, and wait for each other */
		uint64_t now = now_ms();

		if (now - c->heard_ms > c->gap_ms)
			c->gap_ms = now - c->heard_ms;
		c->heard_ms = now;
	}
	if (got > 0) {
		c->received += (uint64_t)got;
		e->tally.bytes_received += (uint64_t)got;
		if (!c->requested && c->received == sizeof c->request) {
			c->requested = true;
			if (c->request.magic != REQUEST_MAGIC || c->request.kind >= KIND_COUNT || !c->request.size_max) {
				c->in_end = STREAM_ODD;
				c->in_error = EBADMSG;
			}
		}
	} else if (got == 0) {
		c->in_end = c->reset_seen ? STREAM_RESET : STREAM_EOF;
	} else if (errno != EAGAIN && errno != EINTR) {
		note_error(c, errno);
		c->in_end = c->reset_seen ? STREAM_RESET : STREAM_ODD;
	}
}

static const char *end_word(enum stream_end end)
{
	return end == STREAM_EOF ? "end" : end == STREAM_RESET ? "reset" : end == STREAM_ODD ? "error" : "open";
}

static void describe(struct engine *e, struct conn *c, enum kind kind, char text[static TALLY_TEXT])
{
	snprintf(text, TALLY_TEXT,
		"%s %llu %s: received %llu of %llu, sent %llu of %llu, %s, errno %d, wrong at %lld, connected %d, shut %d, at "
		"%llu.%03llu s",
		e->role == ROLE_CLIENT ? "client" : "backend", (unsigned long long)c->request.id, kind_word(kind),
		(unsigned long long)c->received, (unsigned long long)script_in_total(c), (unsigned long long)c->sent,
		(unsigned long long)script_out_total(c), end_word(c->in_end), c->in_error,
		c->wrong ? (long long)c->wrong_at : -1LL, c->connected, c->shut, (unsigned long long)now_ms() / 1000,
		(unsigned long long)now_ms() % 1000);
}

static void conn_over(struct engine *e, struct conn *c, enum load_verdict verdict)
{
	struct request *r = &c->request;
	enum kind kind = r->kind < KIND_COUNT ? (enum kind)r->kind : KIND_FIN;
	char text[TALLY_TEXT];

	describe(e, c, kind, text);
	if (verdict == LOAD_OK)
		tally_add(&e->tally, kind, verdict);
	else
		tally_fail(&e->tally, kind, verdict, "%s", text);
	tally_gap(&e->tally, c->gap_ms, text);
	close(c->fd);
	if (c->previous)
		c->previous->next = c->next;
	else
		e->conns = c->next;
	if (c->next)
		c->next->previous = c->previous;
	if (c->counted_idle)
		e->idle--;
	e->tally.open--;
	if (c->waits) { /* freed by the next tick, which walks that list */
		c->fd = -1;
	} else {
		free(c);
	}
	if (e->on_over)
		e->on_over(e);
}

/* The close that follows resets. */
static void arm_reset(struct conn *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Nothing is left to say or hear? Then the verdict. True if the connection is gone. */
static bool finish_if_over(struct engine *e, struct conn *c)
{
	bool all_in = c->received >= script_in_total(c);

	if (!c->requested) {
		if (c->in_end == STREAM_OPEN)
			return false;
	} else if (c->in_end == STREAM_OPEN && script_resets(c)) {
		int queued = 0;
		bool may = c->request.kind == KIND_EARLY_RST || all_in;

		if (!script_out_done(c) || !may || c->send_failed)
			return false;
		/* A reset destroys what is not acknowledged: what is, must arrive. */
		if (c->request.kind != KIND_EARLY_RST && ioctl(c->fd, SIOCOUTQ, &queued) == 0 && queued > 0)
			return false;
		arm_reset(c);
	} else if (c->role == ROLE_CLIENT && c->request.kind == KIND_ABRUPT && script_out_done(c) &&
		   c->received >= c->request.cut) {
		/* a plain close: FIN, or a reset if something is unread */
	} else if (c->in_end == STREAM_OPEN) {
		return false;
	} else if (c->in_end == STREAM_EOF && script_may_send(c) && c->request.kind != KIND_MESSAGE) {
		return false; /* half-closed by the peer, and we have more to say */
	}
	conn_over(e, c, script_judge(c, e->message));
	return true;
}

static void set_interest(struct engine *e, struct conn *c)
{
	uint32_t want = 0;
	bool paced = c->next_send_ms > now_ms() && !e->hurried;
	bool settles = c->requested && script_resets(c) && script_out_done(c);
	struct epoll_event event;

	if (script_may_read(c))
		want |= EPOLLIN;
	if (!c->connected || (script_may_send(c) && !paced))
		want |= EPOLLOUT;
	if (((paced && script_may_send(c)) || settles) && !c->waits) {
		c->waits = true;
		c->waiting_next = e->waiting;
		e->waiting = c;
	}
	if (want == c->interest)
		return;
	c->interest = want;
	event = (struct epoll_event){.events = want, .data.ptr = c};
	epoll_ctl(e->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void note_idle(struct engine *e, struct conn *c)
{
	bool idle = script_stalls(c) && c->connected && c->requested && (script_out_done(c) || c->blocked);

	if (idle == c->counted_idle)
		return;
	c->counted_idle = idle;
	e->idle += idle ? 1 : (uint64_t)-1;
}

/* True if the connection is gone. */
static bool finish_connect(struct engine *e, struct conn *c, uint32_t events)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (!error) {
		c->connected = true;
		return false;
	}
	c->in_end = STREAM_RESET;
	c->in_error = error;
	conn_over(
		e, c, c->request.kind == KIND_REFUSED && (error == ECONNREFUSED || error == ECONNRESET) ? LOAD_OK : LOAD_REFUSED);
	return true;
}

void conn_on_events(struct engine *e, struct conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (!c->connected && finish_connect(e, c, events))
		return;
	if (events & (EPOLLERR | EPOLLHUP) && c->in_end == STREAM_OPEN && !script_may_read(c)) {
		int error = 0;
		socklen_t length = sizeof error;

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		note_error(c, error ? error : ECONNRESET);
		c->in_end = STREAM_RESET;
	}
	if (script_may_read(c) && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		do_receive(e, c);
	/* One that stalls is filled at once: a nearly full socket is not reported as writable, and would never be seen to be
	 * full. */
	while (script_may_send(c) && (c->next_send_ms <= now_ms() || e->hurried)) {
		do_send(e, c);
		if (!script_stalls(c) || c->blocked)
			break;
	}
	if (c->requested && !c->shut && !c->send_failed && script_out_done(c) && script_shuts(c)) {
		if (shutdown(c->fd, SHUT_WR) == 0)
			c->shut = true;
		else
			c->send_failed = true;
	}
	note_idle(e, c);
	if (finish_if_over(e, c))
		return;
	set_interest(e, c);
}

void engine_tick(struct engine *e)
{
	struct conn *c = e->waiting;

	e->waiting = NULL;
	while (c) {
		struct conn *next = c->waiting_next;

		c->waits = false;
		if (c->fd < 0)
			free(c);
		else
			conn_on_events(e, c, 0);
		c = next;
	}
}

int conn_start(struct engine *e, int fd, bool connected, const struct request *request)
{
	struct epoll_event event = {.events = connected ? EPOLLIN : EPOLLOUT};
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->role = e->role;
	c->connected = connected;
	c->heard_ms = now_ms();
	if (request) {
		c->request = *request;
		c->requested = true;
	}
	c->interest = event.events;
	event.data.ptr = c;
	if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(c);
		return -errno;
	}
	c->next = e->conns;
	if (e->conns)
		e->conns->previous = c;
	e->conns = c;
	e->tally.opened++;
	e->tally.open++;
	if (connected)
		conn_on_events(e, c, 0);
	return 0;
}

void engine_end_all(struct engine *e)
{
	e->on_over = NULL;
	while (e->conns) {
		struct conn *c = e->conns;

		arm_reset(c);
		conn_over(e, c, c->requested && script_stalls(c) ? script_judge(c, e->message) : LOAD_STUCK);
	}
	engine_tick(e);
}
