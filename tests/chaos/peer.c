#include "peer.h"

#include "../load/pattern.h"
#include "../load/tool.h"
#include "cut.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, TURNS = 8 };

static unsigned char buffer[CHUNK];

static uint64_t draw(struct peer *p)
{
	return plan_draw(p->run, p->id, p->side, PLAN_DRAWS + p->draws++);
}

void peer_set_options(int fd, const struct plan *plan)
{
	int nodelay = plan->nodelay;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof nodelay);
	if (plan->send_buffer)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &plan->send_buffer, sizeof plan->send_buffer);
	if (plan->receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &plan->receive_buffer, sizeof plan->receive_buffer);
}

static void name(int (*ask)(int, struct sockaddr *, socklen_t *), int fd, char to[64])
{
	struct sockaddr_in in = {0};
	socklen_t length = sizeof in;
	char host[INET_ADDRSTRLEN] = "?";

	if (ask(fd, (struct sockaddr *)&in, &length) == 0 && in.sin_family == AF_INET)
		inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
	snprintf(to, 64, "%s:%u", host, ntohs(in.sin_port));
}

struct peer *peer_new(int fd, enum side side, const struct run *run, uint64_t id)
{
	struct peer *p = calloc(1, sizeof *p);
	int on = 1;

	if (!p)
		return NULL;
	p->fd = fd;
	p->side = side;
	p->phase = side == CLIENT ? PHASE_CONNECTING : PHASE_RUNNING;
	p->run = run;
	p->born_ms = now_ms();
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
	if (side == CLIENT) {
		p->id = id;
		p->known = true;
		p->hello = (struct hello){.magic = HELLO_MAGIC, .id = id};
		plan_make(&p->plan, run, id, side);
	} else {
		p->readable = p->writable = true;
	}
	name(getsockname, fd, p->local);
	name(getpeername, fd, p->remote);
	return p;
}

void peer_note_events(struct peer *p, uint32_t events)
{
	p->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	p->writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
}

static uint64_t hello_out(const struct peer *p)
{
	return p->side == CLIENT ? sizeof p->hello : 0;
}

uint64_t peer_out_limit(const struct peer *p)
{
	bool cut = p->plan.end == END_RESET_SENT || p->plan.end == END_CLOSE;

	return hello_out(p) + (cut ? p->plan.cut : p->plan.total);
}

static bool looks_away(const struct peer *p)
{
	bool stops = p->plan.end == END_RESET_UNREAD || p->plan.end == END_RESET_FROZEN || p->plan.end == END_CLOSE_UNREAD;

	return stops && !p->overtaken && p->received >= p->plan.cut;
}

static void note_saw(struct peer *p, enum saw saw, int error)
{
	p->saw = saw;
	p->saw_error = error;
	p->saw_us = now_us();
}

/* recv said 0. So it does after a FIN, and also after a reset whose errno some other call was told. */
static void note_end(struct peer *p)
{
	struct books b;

	if (books_look(p->fd, p->side, p->fin, &b) < 0)
		return;
	note_saw(p, b.received == p->received + 1 ? SAW_EOF : SAW_RESET, 0);
}

static void learn(struct peer *p)
{
	if (p->received < sizeof p->hello)
		return;
	p->known = true;
	p->id = p->hello.id;
	if (p->hello.magic != HELLO_MAGIC)
		p->wrong = true;
	plan_make(&p->plan, p->run, p->id, p->side);
	peer_set_options(p->fd, &p->plan);
}

static void check(struct peer *p, size_t n)
{
	uint64_t at = p->received - (p->side == BACKEND ? sizeof p->hello : 0);
	size_t right = pattern_check(pattern_key(p->id, p->side == CLIENT ? BACKEND : CLIENT), at, buffer, n);

	if (right < n && !p->wrong) {
		p->wrong = true;
		p->wrong_at = p->received + right;
	}
}

static void pause_reading(struct peer *p)
{
	uint32_t ms;

	if (p->plan.freeze_ms && !p->frozen && p->received >= p->plan.freeze_at) {
		p->frozen = true;
		p->next_read_ms = now_ms() + p->plan.freeze_ms;
	} else if (p->plan.read_pause_max_ms && p->read_paused_ms < p->plan.pauses_ms) {
		ms = (uint32_t)(draw(p) % (p->plan.read_pause_max_ms + 1));
		p->read_paused_ms += ms;
		p->next_read_ms = now_ms() + ms;
	}
}

static bool may_read(const struct peer *p)
{
	return p->readable && p->saw == SAW_NOTHING && (!p->known || !looks_away(p)) &&
	       (p->overtaken || p->next_read_ms <= now_ms());
}

static void receive_some(struct peer *p)
{
	for (int i = 0; i < TURNS && may_read(p); i++) {
		bool greeting = !p->known;
		ssize_t n = greeting ? recv(p->fd, (char *)&p->hello + p->received, sizeof p->hello - p->received, MSG_DONTWAIT)
				     : recv(p->fd, buffer, p->plan.read_max, MSG_DONTWAIT);

		if (n > 0) {
			if (!greeting)
				check(p, (size_t)n);
			p->received += (uint64_t)n;
			if (greeting)
				learn(p);
			else
				pause_reading(p);
		} else if (n == 0) {
			note_end(p);
		} else if (errno == EAGAIN) {
			p->readable = false;
		} else if (errno != EINTR) {
			note_saw(p, SAW_RESET, errno);
		}
	}
}

static bool may_send(const struct peer *p)
{
	if (!p->writable || !p->known || p->fin || p->send_error || p->sent >= peer_out_limit(p))
		return false;
	if (p->sent < hello_out(p))
		return true;
	if (p->plan.end == END_LATE && p->plan.holds && p->saw == SAW_NOTHING)
		return false;
	return p->next_send_ms <= now_ms();
}

static void pause_sending(struct peer *p)
{
	uint32_t ms;

	if (!p->plan.pause_max_ms || p->send_paused_ms >= p->plan.pauses_ms)
		return;
	ms = (uint32_t)(draw(p) % (p->plan.pause_max_ms + 1));
	p->send_paused_ms += ms;
	p->next_send_ms = now_ms() + ms;
}

static ssize_t send_hello(struct peer *p)
{
	return send(p->fd, (char *)&p->hello + p->sent, sizeof p->hello - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t send_piece(struct peer *p)
{
	uint64_t left = peer_out_limit(p) - p->sent;
	bool urgent;
	ssize_t n;

	if (!p->message_left)
		p->message_left = 1 + draw(p) % p->plan.message_max;
	left = p->message_left < left ? p->message_left : left;
	left = left < CHUNK ? left : CHUNK;
	urgent = left == 1 && p->plan.urgent_one_in && draw(p) % p->plan.urgent_one_in == 0;
	/* The last byte of a message goes by itself: it may be an urgent one. */
	if (p->plan.urgent_one_in && left > 1)
		left--;
	pattern_fill(pattern_key(p->id, p->side), p->sent - hello_out(p), buffer, left);
	n = send(p->fd, buffer, left, MSG_DONTWAIT | MSG_NOSIGNAL | (urgent ? MSG_OOB : 0));
	if (n > 0) {
		p->message_left -= (uint64_t)n;
		if (!p->message_left)
			pause_sending(p);
	}
	return n;
}

static void send_some(struct peer *p)
{
	for (int i = 0; i < TURNS && may_send(p); i++) {
		ssize_t n = p->sent < hello_out(p) ? send_hello(p) : send_piece(p);

		if (n > 0)
			p->sent += (uint64_t)n;
		else if (errno == EAGAIN)
			p->writable = false;
		else if (errno != EINTR)
			p->send_error = errno;
	}
}

static void finish(struct peer *p)
{
	if (!p->known || p->fin || p->send_error || p->sent < peer_out_limit(p))
		return;
	if (!plan_is_orderly(p->plan.end) && p->plan.end != END_RESET_AFTER_FIN)
		return;
	if (p->plan.end == END_LATE && p->saw == SAW_NOTHING)
		return;
	p->fin_us = now_us();
	if (shutdown(p->fd, SHUT_WR) == 0)
		p->fin = true;
	else
		p->send_error = errno;
}

static void connected(struct peer *p)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (!p->writable)
		return;
	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	p->phase = PHASE_RUNNING;
	name(getsockname, p->fd, p->local);
	name(getpeername, p->fd, p->remote);
	if (error)
		note_saw(p, SAW_RESET, error);
}

/* It is over when both streams have ended and are acknowledged, or by a reset. */
static bool is_over(struct peer *p)
{
	if (p->phase != PHASE_CLOSED && p->saw == SAW_NOTHING)
		return false;
	if (p->saw == SAW_EOF && !p->fin && !p->send_error && !p->overtaken)
		return false;
	return books_look(p->fd, p->side, p->fin, &p->books) < 0 || p->books.state == BOOKS_CLOSE;
}

void peer_over(struct peer *p)
{
	close(p->fd);
	p->phase = PHASE_OVER;
}

void peer_step(struct peer *p)
{
	if (p->phase == PHASE_CONNECTING)
		connected(p);
	if (p->phase == PHASE_RUNNING) {
		receive_some(p);
		send_some(p);
		finish(p);
		if (cut_is_due(p))
			cut_begin(p);
	}
	if (p->phase == PHASE_SETTLING)
		cut_when_settled(p);
	else if ((p->phase == PHASE_RUNNING || p->phase == PHASE_CLOSED) && is_over(p))
		peer_over(p);
}

void peer_give_up(struct peer *p)
{
	p->stuck = true;
	books_look(p->fd, p->side, p->fin, &p->books);
	cut_now(p, DID_RESET);
}
