#include "relay/closing.h"

#include "relay/cause.h"
#include "relay/deadline.h"
#include "relay/ending.h"
#include "relay/flow.h"
#include "relay/kill_point.h"
#include "relay/own.h"
#include "relay/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLOSE = 7, /* include/net/tcp_states.h TCP_CLOSE */
	CHECK_MOST_MS = 500,
	DROP_TURNS = 16,
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When its peer last acknowledged more of what the other side sent; of a unix socket, when it was last given something. */
static uint64_t progress_ms(const struct slot *slot, const struct session *session, enum side s)
{
	uint64_t given_ms = atomic_load_explicit(&slot->moved_ms[other_side(s)], memory_order_relaxed);

	return session->silence[s].outstanding_ms ? session->silence[s].progress_ms : given_ms;
}

/* When its linger_timeout has passed. A slow peer is not a dead one: as long as it acknowledges more, its time begins anew. Where
 * the end is ours it does not, or a slow client could keep us from ever ending. */
static uint64_t late_at_ms(const struct slot *slot, const struct session *session, enum side s)
{
	uint64_t late_ms = slot_linger_end_ms(slot, s),
		 since_progress_ms = progress_ms(slot, session, s) + slot->policy.side[s].linger_timeout_ms;

	return cause_is_ours(slot) || since_progress_ms < late_ms ? late_ms : since_progress_ms;
}

static bool is_late(const struct relay *relay, const struct session *session, enum side s)
{
	return relay->now_ms >= late_at_ms(&relay->ledger.slots[session->index], session, s);
}

/* A peer that is dead or stalled is not delivered to any further: what it said still is. */
static void watch_peer(struct relay *relay, struct session *session, enum side s)
{
	struct silence *silence = &session->silence[s];

	if (!silence->outstanding_ms)
		silence_begin(silence, &session_slot(relay, session)->policy.side[s], relay->now_ms, 0, relay->now_ms);
	deadline_peer_is_well(relay, session, s, OPERATION_CLOSE);
}

/* The socket's last account, then it goes. books: NULL for a unix socket, here and below. Orderly: without the reset that it is
 * armed with. */
static void let_go(struct relay *relay, struct session *session, enum side s, const struct books *books, bool orderly)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(s);
	int fd = session->own.fd[s];
	struct books last;

	if (books && books->state != CLOSE && session_books(slot, s, &last) == 0) /* it may still have moved */
		books = &last;
	if (books) {
		int64_t acked = books->acked - slot->given_base[s];

		slot->received[s] = (uint64_t)books->received;
		slot->acked[s] = acked > 0 ? (uint64_t)acked : 0;
	} else { /* what it was given, it has */
		slot->received[s] = atomic_load_explicit(&slot->moved[s], memory_order_relaxed) + session->in_pipe[s] +
				    slot->dropped[s] + (uint64_t)books_unread(fd);
		slot->acked[s] = atomic_load_explicit(&slot->moved[other], memory_order_relaxed);
	}
	/* For a unix socket it is but a mark, by which a successor tells that this is no new client. */
	if (orderly && books)
		socket_disarm_reset(fd);
	kill_point();
	own_set_fd(session, slot, s, -1);
	kill_point();
	close(fd);
	kill_point();
}

/* Reads and drops what still comes. True: the peer has ended, too; *error if by a failure. */
static bool drop_input(struct relay *relay, struct session *session, enum side s, int *error)
{
	struct slot *slot = session_slot(relay, session);

	for (int i = 0; i < DROP_TURNS; i++) {
		ssize_t n = recv(slot->fd[s], relay->buffer, RELAY_BUFFER, MSG_DONTWAIT);

		if (n > 0) {
			session->input_cut[s] = true;
			slot->dropped[s] += (uint64_t)n;
		} else if (n == 0) {
			return true;
		} else if (errno == EAGAIN) {
			return false;
		} else if (errno != EINTR) {
			*error = errno;
			return true;
		}
	}
	session_queue(relay, session);
	return false;
}

/* It failed before it had acknowledged all, our FIN included. */
static void note_failure(struct slot *slot, enum side s, int error)
{
	if (!error)
		error = session_error(slot, s);
	cause_note(slot, cause_side(s), cause_of_error(error), OPERATION_SEND, error);
}

/* What it was given it did not take within linger_timeout, though the session had ended in order till then. */
static void note_late(struct slot *slot, enum side s)
{
	cause_note(slot, cause_side(s), HOW_TIMEOUT, OPERATION_CLOSE, 0);
}

static void deliver(struct relay *relay, struct session *session, enum side s, const struct books *books)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(s);
	int fd = slot->fd[s];
	bool peer_ended = slot->side_end[s] == SIDE_FINISHED;
	struct books now;
	int error = 0;

	if (!flow_is_shut(slot->flow[other])) {
		/* Should we die in between, adoption says it. */
		slot->flow[other] = FLOW_CUT_SHUT;
		kill_point();
		if (shutdown(fd, SHUT_WR) < 0 && errno == ENOTCONN) /* reset already: no FIN is among what it was given */
			slot->flow[other] = FLOW_CUT;
		if (books && session_books(slot, s, &now) == 0)
			books = &now;
	}
	/* What it still says is given to no one any more. */
	if (!peer_ended && slot->flow[s] != FLOW_DRAINING)
		peer_ended = drop_input(relay, session, s, &error);
	if (!books) { /* what it was given, its peer has */
		if (peer_ended || is_late(relay, session, s))
			let_go(relay, session, s, books, true);
	} else if (books->state == CLOSE || (books->fin_acked && peer_ended)) {
		if (!books->fin_acked)
			note_failure(slot, s, error);
		let_go(relay, session, s, books, true);
	} else if (slot->policy.side[s].linger == LINGER_BACKGROUND && peer_ended) {
		socket_bound_background(fd, slot->policy.side[s].linger_timeout_ms);
		let_go(relay, session, s, books, true);
	} else if (is_late(relay, session, s)) {
		bool delivered = books_unacknowledged(fd) == 0;

		if (!delivered)
			note_late(slot, s);
		/* Where the other side failed, what this one said since is lost: it is told so, as it would have been by that
		 * side. */
		let_go(relay, session, s, books, delivered && !session->input_cut[s] && slot->side_end[other] != SIDE_FAILED);
	}
}

static void run_side(struct relay *relay, struct session *session, enum side s, const struct books *books)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(s);
	bool late = is_late(relay, session, s), more = slot->flow[other] == FLOW_DRAINING;

	switch ((enum side_ending)slot->ending[s]) {
	case ENDING_NONE:
	case ENDING_NOW:
		/* What this side sent may still be on its way into the other, which takes the time that it takes. */
		if (slot->flow[s] != FLOW_DRAINING || is_late(relay, session, other))
			let_go(relay, session, s, books, false);
		break;
	case ENDING_RESET:
		if (late || (!more && (!books || books->state == CLOSE || books_unacknowledged(slot->fd[s]) == 0)))
			let_go(relay, session, s, books, false);
		break;
	case ENDING_DELIVER:
		if (late && more) {
			note_late(slot, s);
			let_go(relay, session, s, books, false);
		} else if (!more) {
			deliver(relay, session, s, books);
		}
		break;
	}
}

void closing_run(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct books books[SIDES], *of[SIDES] = {NULL, NULL};
	uint64_t due_ms;
	bool again = false;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		enum side to = other_side(s);

		if (slot->flow[s] == FLOW_DRAINING || slot->flow[s] == FLOW_OPEN) {
			if (slot->fd[to] < 0)
				flow_cut(relay, session, s);
			else
				again |= flow_pump(relay, session, s);
		}
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (slot->fd[s] < 0)
			continue;
		of[s] = session_books(slot, s, &books[s]) == 0 ? &books[s] : NULL;
		if (of[s] && of[s]->state != CLOSE && slot->ending[s] != ENDING_NOW)
			watch_peer(relay, session, s);
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0)
			run_side(relay, session, s, of[s]);
	if (slot->fd[SIDE_CLIENT] < 0 && slot->fd[SIDE_BACKEND] < 0) {
		session_finish(relay, session);
		return;
	}
	if (again)
		session_queue(relay, session);
	/* No edge tells that the last byte was acknowledged, so it is looked for, ever more seldom. */
	due_ms = relay->now_ms + session->check_ms;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (slot->fd[s] < 0)
			continue;
		due_ms = earlier(due_ms, late_at_ms(slot, session, s));
		if (session->silence[s].outstanding_ms)
			due_ms = earlier(due_ms, session->silence[s].look_ms);
	}
	session->check_ms = (uint16_t)(session->check_ms >= CHECK_MOST_MS / 2 ? CHECK_MOST_MS : session->check_ms * 2);
	wheel_set(&relay->wheel, &session->due, due_ms);
}
