#include "relay/flow.h"

#include "relay/books.h"
#include "relay/cause.h"
#include "relay/deadline.h"
#include "relay/ending.h"
#include "relay/kill_point.h"
#include "relay/own.h"
#include "relay/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TURNS = 16,
	SPLICE_ABOVE = 32 << 10, /* bytes a wake, moving average; measured: below it copying is cheaper */
	COPY_BELOW = 8 << 10,
	SPLICE_AT_ONCE = 1 << 20,
};

enum step {
	STEP_MORE, /* something moved, or is worth another look */
	STEP_WAIT, /* an edge will come */
	STEP_OVER, /* the flow ended, or a side failed; it was acted on */
};

bool flow_is_bookless(const struct slot *slot)
{
	return slot->record.client.family == AF_UNIX || slot->record.backend.family == AF_UNIX;
}

static enum step failed(struct relay *relay, struct session *session, enum side side, enum operation operation, int error)
{
	struct books books;

	/* An ICMP error is told although the connection lives and retries. */
	if (cause_of_error(error) == HOW_UNREACHABLE && session_books(session_slot(relay, session), side, &books) == 0 &&
		books.state != 7)
		return STEP_MORE;
	ending_peer_failed(relay, session, side, operation, error);
	return STEP_OVER;
}

static sa_family_t family_of(const struct slot *slot, enum side s)
{
	return (sa_family_t)(s == SIDE_CLIENT ? slot->record.client.family : slot->record.backend.family);
}

/* A reset's errno is told once, to whoever asks first; then recv says 0, as after a FIN. The books know. A unix socket tells a
 * reset in its place, after the bytes before it; that it takes no more (EPIPE) says nothing of what came from it. */
static bool end_is_clean(const struct slot *slot, enum side from, int *error)
{
	if (family_of(slot, from) != AF_UNIX)
		return books_end_is_clean(slot->fd[from], error);
	return slot->side_end[from] != SIDE_FAILED || slot->side_error[from] == EPIPE;
}

/* Where both have ended by the time that we look, it was as a rule the client that said goodbye and the backend that followed. */
static enum who who_closed(struct slot *slot, enum side from)
{
	struct books client;

	if (from == SIDE_CLIENT)
		return WHO_CLIENT;
	return session_books(slot, SIDE_CLIENT, &client) == 0 && client.fin_received ? WHO_CLIENT : WHO_BACKEND;
}

/* recv said 0, or we will read no more. All that was taken has been given when this is called. */
static enum step source_over(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	enum side to = other_side(from);
	int error = 0;

	if (cause_is_ours(slot) || slot->fd[from] < 0) {
		slot->flow[from] = FLOW_CUT;
		return STEP_OVER;
	}
	if (!end_is_clean(slot, from, &error)) {
		if (slot->side_end[from] == SIDE_FAILED) { /* it was known, and now the rest is delivered */
			slot->flow[from] = FLOW_CUT;
			return STEP_OVER;
		}
		return failed(relay, session, from, OPERATION_RECEIVE, error ? error : ECONNRESET);
	}
	if (slot->side_end[from] == SIDE_LIVE)
		slot->side_end[from] = SIDE_FINISHED;
	cause_note(slot, who_closed(slot, from), HOW_CLOSED, OPERATION_RECEIVE, 0);
	ending_source_is_whole(slot, from);
	kill_point();
	/* Stored first: whoever finds it says it again, which does no harm. */
	slot->flow[from] = FLOW_SHUT;
	kill_point();
	if (slot->fd[to] >= 0) {
		if (shutdown(slot->fd[to], SHUT_WR) < 0 && errno == ENOTCONN) {
			/* It was reset in this moment. No FIN left, and the books must not count one. */
			slot->flow[from] = FLOW_CUT;
			return failed(relay, session, to, OPERATION_SEND, session_error(slot, to));
		}
		slot_moved(slot, from, 0, relay->now_ms);
		deadline_given(relay, session, to);
	}
	kill_point();
	return STEP_OVER;
}

/* There is nothing to take now. A peer that we gave up (it is dead or stalled, its socket is not) will say nothing more that
 * counts. */
static enum step source_waits(struct relay *relay, struct session *session, enum side from)
{
	return session_slot(relay, session)->side_end[from] == SIDE_FAILED ? source_over(relay, session, from) : STEP_WAIT;
}

/* The target took nothing, or no memory was there for it. */
static enum step target_waits(struct relay *relay, struct session *session, enum side from, int error)
{
	enum side to = other_side(from);

	switch (error) {
	case EINTR:
		return STEP_MORE;
	case EAGAIN:
		session->blocked[from] = true;
		return STEP_WAIT;
	case ENOBUFS:
	case ENOMEM: /* no edge will tell when there is memory again */
		session->starved = true;
		wheel_set(&relay->wheel, &session->due, relay->now_ms + WHEEL_TICK_MS);
		return STEP_WAIT;
	}
	return failed(relay, session, to, OPERATION_SEND, error);
}

static enum step copy_step(struct relay *relay, struct session *session, enum side from, size_t *moved)
{
	struct slot *slot = session_slot(relay, session);
	enum side to = other_side(from);
	ssize_t n, k;

	if (cause_is_ours(slot) || slot->fd[from] < 0)
		return source_over(relay, session, from);
	kill_point();
	n = recv(slot->fd[from], relay->buffer, RELAY_BUFFER, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0)
		return source_over(relay, session, from);
	if (n < 0) {
		if (errno == EINTR)
			return STEP_MORE;
		return errno == EAGAIN ? source_waits(relay, session, from)
				       : failed(relay, session, from, OPERATION_RECEIVE, errno);
	}
	k = send(slot->fd[to], relay->buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	kill_point();
	if (k < 0)
		return target_waits(relay, session, from, errno);
	if (socket_drop(slot->fd[from], (size_t)k) < 0)
		return failed(relay, session, from, OPERATION_RECEIVE, EIO);
	kill_point();
	slot_moved(slot, from, (uint64_t)k, relay->now_ms);
	*moved += (size_t)k;
	/* All that was there is through, and nothing but more bytes can have come since, which is an edge: no need to ask again.
	 * An end or an urgent mark may stand behind what was read, and then the event that woke us says so. */
	if (k == n && n < RELAY_BUFFER && session->events[from] && !(session->events[from] & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
		return STEP_WAIT;
	return STEP_MORE;
}

/* An urgent mark stands in the way of splice, and the target is a unix socket, which has no books for a peek: the bytes are
 * peeked at and written into the empty pipe, whole or not at all, and then dropped from the source. How far is noted first. */
static enum step past_mark(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	const struct ledger_pipe *pipe = &relay->header->pipes[session->own.pipe[from]];
	struct books books;
	ssize_t n = recv(slot->fd[from], relay->buffer, PIPE_BUF, MSG_PEEK | MSG_DONTWAIT);
	int r;

	if (n <= 0)
		return n == 0 || errno == EAGAIN || errno == EINTR ? STEP_MORE
								   : failed(relay, session, from, OPERATION_RECEIVE, errno);
	r = session_books(slot, from, &books);
	if (r < 0)
		return failed(relay, session, from, OPERATION_RECEIVE, -r);
	slot->past_mark[from] = books.taken + n;
	kill_point();
	if (write(pipe->fd[1], relay->buffer, (size_t)n) != n)
		return failed(relay, session, from, OPERATION_RECEIVE, errno);
	kill_point();
	session->in_pipe[from] = (uint32_t)n;
	if (socket_drop(slot->fd[from], (size_t)n) < 0)
		return failed(relay, session, from, OPERATION_RECEIVE, EIO);
	kill_point();
	slot->past_mark[from] = 0;
	return STEP_MORE;
}

/* The pipe is empty: fill it. */
static enum step splice_in(struct relay *relay, struct session *session, enum side from, size_t *moved)
{
	struct slot *slot = session_slot(relay, session);
	const struct ledger_pipe *pipe = &relay->header->pipes[session->own.pipe[from]];
	ssize_t n;
	char c;

	if (cause_is_ours(slot) || slot->fd[from] < 0)
		return source_over(relay, session, from);
	kill_point();
	n = splice(slot->fd[from], NULL, pipe->fd[1], NULL, SPLICE_AT_ONCE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	kill_point();
	if (n > 0) {
		session->in_pipe[from] = (uint32_t)n;
		return STEP_MORE;
	}
	if (n < 0 && errno == EINTR)
		return STEP_MORE;
	if (n < 0 && errno != EAGAIN)
		return failed(relay, session, from, OPERATION_RECEIVE, errno);
	/* splice stops at an urgent mark, by EAGAIN or by 0 with bytes unread. Only recv declares an end. */
	if (!flow_is_bookless(slot))
		return n == 0 || books_unread(slot->fd[from]) > 0 ? copy_step(relay, session, from, moved)
								  : source_waits(relay, session, from);
	if (family_of(slot, from) != AF_UNIX && books_unread(slot->fd[from]) > 0)
		return past_mark(relay, session, from);
	if (n < 0)
		return source_waits(relay, session, from);
	n = recv(slot->fd[from], &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? STEP_WAIT : failed(relay, session, from, OPERATION_RECEIVE, errno);
	return n == 0 ? source_over(relay, session, from) : STEP_MORE;
}

static enum step splice_out(struct relay *relay, struct session *session, enum side from, size_t *moved)
{
	struct slot *slot = session_slot(relay, session);
	const struct ledger_pipe *pipe = &relay->header->pipes[session->own.pipe[from]];
	enum side to = other_side(from);
	ssize_t n = splice(pipe->fd[0], NULL, slot->fd[to], NULL, SPLICE_AT_ONCE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	kill_point();
	if (n < 0)
		return target_waits(relay, session, from, errno);
	session->in_pipe[from] -= (uint32_t)n;
	slot_moved(slot, from, (uint64_t)n, relay->now_ms);
	*moved += (size_t)n;
	return STEP_MORE;
}

static bool take_pipe(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);

	if (session->own.pipe[from] < 0) {
		int index = pipes_take(&relay->pipes);

		if (index < 0)
			return false;
		own_set_pipe(session, slot, from, index);
		session->in_pipe[from] = 0;
		kill_point();
	}
	return true;
}

static void give_empty_pipe(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	int index = session->own.pipe[from];

	if (index < 0 || session->in_pipe[from] > 0 || flow_is_bookless(slot))
		return;
	own_set_pipe(session, slot, from, -1);
	pipes_give(&relay->pipes, index);
}

void flow_drop_pipe(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	int index = session->own.pipe[from];

	if (index < 0)
		return;
	if (session->in_pipe[from])
		slot->dropped[from] = session->in_pipe[from];
	kill_point();
	own_set_pipe(session, slot, from, -1);
	session->in_pipe[from] = 0;
	if (pipes_queued(&relay->pipes, index) > 0)
		pipes_discard(&relay->pipes, index);
	else
		pipes_give(&relay->pipes, index);
}

void flow_cut(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);

	if (flow_is_shut(slot->flow[from]))
		return;
	slot->flow[from] = FLOW_CUT;
	flow_drop_pipe(relay, session, from);
}

int flow_say(struct relay *relay, struct session *session, enum side from, const char *text, size_t length)
{
	struct slot *slot = session_slot(relay, session);
	int queued;

	if (!take_pipe(relay, session, from))
		return -EAGAIN;
	queued = pipes_queued(&relay->pipes, session->own.pipe[from]);
	/* Full without the note: a predecessor died in between. Empty with it: it is said. */
	if (!queued && !(slot->told & TOLD_CLIENT) &&
		write(relay->header->pipes[session->own.pipe[from]].fd[1], text, length) == (ssize_t)length)
		queued = (int)length;
	kill_point();
	slot->told |= TOLD_CLIENT;
	kill_point();
	session->in_pipe[from] = (uint32_t)queued;
	return 0;
}

int flow_prepare(struct relay *relay, struct session *session)
{
	if (!flow_is_bookless(session_slot(relay, session)))
		return 0;
	return take_pipe(relay, session, SIDE_CLIENT) && take_pipe(relay, session, SIDE_BACKEND) ? 0 : -EAGAIN;
}

/* The event says that there is nothing to take: whatever comes makes another. */
static bool is_quiet(const struct session *session, const struct slot *slot, enum side from)
{
	return session->events[from] == EPOLLOUT && !session->in_pipe[from] && slot->side_end[from] == SIDE_LIVE &&
	       slot_state(slot) == SLOT_RELAYING;
}

bool flow_pump(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	bool bulk = session->average[from] > SPLICE_ABOVE;
	size_t moved = 0;
	enum step step = is_quiet(session, slot, from) ? STEP_WAIT : STEP_MORE;

	/* What the other direction does would make us peek at the same bytes again and again. */
	if (session->blocked[from] && slot_state(slot) == SLOT_RELAYING &&
		!(session->events[other_side(from)] & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	session->blocked[from] = false;

	for (int i = 0; i < TURNS && step == STEP_MORE; i++) {
		if (flow_is_shut(slot->flow[from]) || flow_is_cut(slot->flow[from]))
			return false;
		if (session->in_pipe[from])
			step = splice_out(relay, session, from, &moved);
		else if (flow_is_bookless(slot) || (bulk && take_pipe(relay, session, from)))
			step = splice_in(relay, session, from, &moved);
		else
			step = copy_step(relay, session, from, &moved);
	}
	give_empty_pipe(relay, session, from);
	if (moved) {
		uint32_t wake = moved > UINT32_MAX / 8 ? UINT32_MAX / 8 : (uint32_t)moved;

		deadline_given(relay, session, other_side(from));
		session->average[from] = (session->average[from] * 3 + wake) / 4;
		/* Between the two marks it stays with what it does. */
		if (bulk && session->average[from] > COPY_BELOW && session->average[from] <= SPLICE_ABOVE)
			session->average[from] = SPLICE_ABOVE + 1;
	}
	return step == STEP_MORE;
}
