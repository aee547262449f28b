#include "relay/ending.h"

#include "relay/deadline.h"
#include "relay/flow.h"
#include "relay/kill_point.h"
#include "relay/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLOSE = 7, /* include/net/tcp_states.h TCP_CLOSE */
	CHECK_LEAST_MS = WHEEL_TICK_MS,
	CHECK_MOST_MS = 500,
	REFUSAL_MS = 5000,
	DROP_TURNS = 16,
};

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

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

	return session_is_ended_by_us(slot) || since_progress_ms < late_ms ? late_ms : since_progress_ms;
}

static bool is_late(const struct relay *relay, const struct session *session, enum side s)
{
	return relay->now_ms >= late_at_ms(&relay->ledger.slots[session->index], session, s);
}

/* A peer that is dead or stalled is not delivered to any further: what it said still is. */
static void watch_peer(struct relay *relay, struct session *session, enum side s)
{
	struct slot *slot = session_slot(relay, session);
	struct silence *silence = &session->silence[s];
	enum who who = s == SIDE_CLIENT ? WHO_CLIENT : WHO_BACKEND;

	if (!silence->outstanding_ms)
		silence_begin(silence, &slot->policy.side[s], relay->now_ms, 0, relay->now_ms);
	switch (deadline_ask(relay, session, s)) {
	case SILENCE_OVER:
	case SILENCE_WAITS:
		break;
	case SILENCE_DEAD:
		session_note_reason(slot, who, HOW_DEAD, OPERATION_CLOSE, ETIMEDOUT);
		ending_peer_failed(relay, session, s, OPERATION_CLOSE, ETIMEDOUT);
		break;
	case SILENCE_STALLED:
		session_note_reason(slot, who, HOW_STALLED, OPERATION_CLOSE, 0);
		ending_peer_failed(relay, session, s, OPERATION_CLOSE, ETIMEDOUT);
		break;
	}
}

static void cut(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);

	if (flow_is_shut(slot->flow[from]))
		return;
	slot->flow[from] = FLOW_CUT;
	flow_drop_pipe(relay, session, from);
}

static void enter(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct side_policy *p = slot->policy.side;

	slot->deadline_ms = relay->now_ms + larger(p[SIDE_CLIENT].linger_timeout_ms, p[SIDE_BACKEND].linger_timeout_ms);
	session->check_ms = CHECK_LEAST_MS;
	kill_point();
	slot_set_state(slot, SLOT_CLOSING);
	kill_point();
	/* Not from here: we may be in the middle of one of its flows. */
	session_queue(relay, session);
}

void ending_begin(struct relay *relay, struct session *session, const struct reason *reason, enum side_ending how)
{
	struct slot *slot = session_slot(relay, session);
	bool relaying = slot_state(slot) == SLOT_RELAYING;

	if (reason)
		session_note_reason(slot, reason->who, reason->how, reason->operation, reason->error);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		/* By itself, in order, and not to be waited for: that is what linger = "reset" means. */
		bool impatient = !reason && slot->policy.side[s].linger == LINGER_RESET;

		slot->ending[s] = (uint8_t)(impatient ? ENDING_NOW : how);
		if (!relaying || how == ENDING_NOW)
			cut(relay, session, s);
		else if (slot->flow[s] == FLOW_OPEN)
			slot->flow[s] = FLOW_DRAINING;
	}
	if (!relaying)
		slot->ending[SIDE_BACKEND] = ENDING_NOW;
	enter(relay, session);
}

static enum side_ending after_failure(const struct slot *slot, enum side failed)
{
	/* A backend that ended its answer and then resets what still comes has answered in whole, and no reset may destroy that.
	 * A client that resets after its FIN is another matter: its backend must learn that no one listens any more. Should the
	 * end of the answer be found only later, ending_source_is_whole says so. */
	if (failed == SIDE_BACKEND && slot->flow[SIDE_BACKEND] == FLOW_SHUT)
		return ENDING_DELIVER;
	switch ((enum end_mode)slot->policy.on_failure) {
	case END_RESET:
		return ENDING_RESET;
	case END_RESET_NOW:
		return ENDING_NOW;
	case END_CLOSE:
		return ENDING_DELIVER;
	}
	return ENDING_RESET;
}

void ending_source_is_whole(struct slot *slot, enum side from)
{
	if (from == SIDE_BACKEND && slot->side_end[from] == SIDE_FAILED && slot->ending[SIDE_CLIENT] == ENDING_RESET)
		slot->ending[SIDE_CLIENT] = ENDING_DELIVER;
}

void ending_peer_failed(struct relay *relay, struct session *session, enum side failed, enum operation operation, int error)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(failed);
	enum slot_state state = slot_state(slot);

	/* EPIPE says that it takes no more; why, it may tell later. */
	if (slot->side_end[failed] != SIDE_FAILED || slot->side_error[failed] == EPIPE) {
		/* What adoption was told before is not told again. */
		if (slot->side_end[failed] != SIDE_FAILED && slot->side_error[failed])
			error = slot->side_error[failed];
		slot->side_error[failed] = error;
		slot->side_operation[failed] = (uint8_t)operation;
		slot->side_end[failed] = SIDE_FAILED;
		kill_point();
	}
	if (state == SLOT_CLOSING) {
		slot->ending[failed] = ENDING_NOW;
		cut(relay, session, other);
		return;
	}
	session_note_reason(slot, failed == SIDE_CLIENT ? WHO_CLIENT : WHO_BACKEND, how_of_error(error), operation, error);
	slot->ending[failed] = ENDING_NOW;
	slot->ending[other] = (uint8_t)after_failure(slot, failed);
	cut(relay, session, other);
	if (state != SLOT_RELAYING) {
		slot->ending[SIDE_BACKEND] = ENDING_NOW;
		cut(relay, session, failed);
	} else if (slot->flow[failed] == FLOW_OPEN) {
		slot->flow[failed] = FLOW_DRAINING;
	}
	enter(relay, session);
}

/* Once, and whole: nothing else is in that socket. True: it still has to go through the flow. */
static bool say_why(struct relay *relay, struct session *session, const char *text, size_t length)
{
	struct slot *slot = session_slot(relay, session);
	int fd = slot->fd[SIDE_CLIENT];
	struct books books;

	if (books_read(fd, 0, &books) == 0) {
		if (books.given > 0) /* a predecessor said it */
			return false;
	} else if (flow_say(relay, session, SIDE_BACKEND, text, length) == 0) {
		return true;
	}
	send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return false;
}

void ending_refuse(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct plan_service *service = plan_service_by_id(&relay->plan, slot->record.service_id);
	struct side_policy *p = &slot->policy.side[SIDE_CLIENT];
	bool flows = false;

	slot->ending[SIDE_CLIENT] = ENDING_NOW;
	if (service && service->reject_message.length) {
		flows = say_why(
			relay, session, relay->plan.text + service->reject_message.offset, service->reject_message.length);
		slot->ending[SIDE_CLIENT] = ENDING_DELIVER;
		if (p->linger_timeout_ms > REFUSAL_MS)
			p->linger_timeout_ms = REFUSAL_MS;
		slot->policy.side[SIDE_BACKEND].linger_timeout_ms = 0;
	}
	slot->ending[SIDE_BACKEND] = ENDING_NOW;
	cut(relay, session, SIDE_CLIENT);
	if (flows)
		slot->flow[SIDE_BACKEND] = FLOW_DRAINING;
	else
		cut(relay, session, SIDE_BACKEND);
	enter(relay, session);
}

void ending_now(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		slot->ending[s] = ENDING_NOW;
		cut(relay, session, s);
	}
	session_queue(relay, session);
}

/* The socket's last account, then it goes. books: NULL for a unix socket, here and below. Orderly: without the reset that it is
 * armed with. */
static void let_go(struct relay *relay, struct session *session, enum side s, const struct books *books, bool orderly)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(s);
	int fd = slot->fd[s];
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
	slot->fd[s] = -1;
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
	session_note_reason(slot, s == SIDE_CLIENT ? WHO_CLIENT : WHO_BACKEND, how_of_error(error), OPERATION_SEND, error);
}

/* What it was given it did not take within linger_timeout, though the session had ended in order till then. */
static void note_late(struct slot *slot, enum side s)
{
	session_note_reason(slot, s == SIDE_CLIENT ? WHO_CLIENT : WHO_BACKEND, HOW_TIMEOUT, OPERATION_CLOSE, 0);
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

void ending_run(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct books books[SIDES], *of[SIDES] = {NULL, NULL};
	uint64_t due_ms;
	bool again = false;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		enum side to = other_side(s);

		if (slot->flow[s] == FLOW_DRAINING || slot->flow[s] == FLOW_OPEN) {
			if (slot->fd[to] < 0)
				cut(relay, session, s);
			else
				again |= flow_pump(relay, session, s);
		}
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (slot->fd[s] < 0)
			continue;
		of[s] = session_books(slot, s, &books[s]) == 0 ? &books[s] : NULL;
		if (of[s] && slot->ending[s] != ENDING_NOW)
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
