#include "relay/session.h"

#include "base/clock.h"
#include "relay/adopt.h"
#include "relay/cause.h"
#include "relay/closing.h"
#include "relay/connect.h"
#include "relay/deadline.h"
#include "relay/ending.h"
#include "relay/flow.h"
#include "relay/give.h"
#include "relay/gone.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/place.h"
#include "relay/ring.h"
#include "relay/socket.h"
#include "relay/tally.h"
#include "wire/liveness.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct session *take_slot(struct relay *relay)
{
	int64_t index = vacancies_take(&relay->vacancies);

	if (index < 0)
		return NULL;
	relay->sessions[index].index = (uint32_t)index;
	return &relay->sessions[index];
}

void session_free(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	assert(slot->fd[SIDE_CLIENT] < 0 && slot->fd[SIDE_BACKEND] < 0 && !session->telling);
	wheel_remove(&relay->wheel, &session->due);
	session->own.id = 0;
	slot_set_state(slot, SLOT_FREE);
	vacancies_give(&relay->vacancies, session->index);
}

void session_renew(struct session *session)
{
	struct session *next = session->run_next;
	uint32_t index = session->index;
	bool queued = session->queued;
	struct session_own own = session->own;

	/* The queue may still hold it for a session that had this slot before: harmless, but the link is needed. */
	memset(session, 0, sizeof *session);
	session->index = index;
	session->run_next = next;
	session->queued = queued;
	session->own = own;
}

static void fill(struct relay *relay, struct slot *slot, const struct plan_service *service,
	const struct ledger_listener *listener, int fd, const struct sockaddr_storage *client)
{
	uint64_t n = atomic_fetch_add_explicit(&relay->header->id_next, 1, memory_order_relaxed);
	struct session_record *record = &slot->record;
	uint32_t high = (uint32_t)(slot - relay->ledger.slots) + 1;

	slot_write_begin(slot);
	memset((char *)slot + offsetof(struct slot, record), 0, sizeof *slot - offsetof(struct slot, record));
	record->id = (relay->header->id_base + n) << 6 | relay->index;
	record->started_us = clock_real_us();
	record->started_ms = relay->now_ms;
	endpoint_from_sockaddr(&record->client, client);
	record->local = listener->local;
	record->service_id = service->id;
	record->listener_id = listener->id;
	record->plan_generation = relay->plan.header->generation;
	memcpy(record->service, service->name, sizeof record->service);
	slot->policy = service->policy;
	slot->policy_generation = record->plan_generation;
	slot->fd[SIDE_CLIENT] = fd;
	slot->fd[SIDE_BACKEND] = -1;
	slot->pipe[SIDE_CLIENT] = slot->pipe[SIDE_BACKEND] = -1;
	slot_write_end(slot);
	if (high > atomic_load_explicit(&relay->header->high_water, memory_order_relaxed))
		atomic_store_explicit(&relay->header->high_water, high, memory_order_release);
}

/* The address that the client came to, where the listener stands on all of them. */
static void note_local(struct slot *slot, int fd)
{
	struct sockaddr_storage local = {0};
	socklen_t length = sizeof local;
	static const uint8_t any[16];

	if (slot->record.local.family == AF_UNIX || memcmp(slot->record.local.ip, any, sizeof any) != 0 ||
		getsockname(fd, (struct sockaddr *)&local, &length) < 0)
		return;
	slot_write_begin(slot);
	endpoint_from_sockaddr(&slot->record.local, &local);
	slot_write_end(slot);
}

/* It has the listener's numbers, which are those of step 0. */
static void spread_keepalive(const struct session *session, const struct slot *slot, int fd)
{
	struct side_policy policy = slot->policy.side[SIDE_CLIENT];
	const char *option;

	if (session->index % (policy.keepalive_steps + 1u) == 0 || slot->record.client.family == AF_UNIX)
		return;
	liveness_spread(&policy, session->index);
	socket_set_keepalive(fd, &policy, &option);
}

void session_begin(struct relay *relay, const struct plan_service *service, const struct ledger_listener *listener, int fd,
	const struct sockaddr_storage *client)
{
	struct session *session = take_slot(relay);
	struct slot *slot;

	if (!session) { /* accepting stops before this; an adopted newcomer may still meet it */
		socket_arm_reset(fd);
		close(fd);
		return;
	}
	slot = session_slot(relay, session);
	session_renew(session);
	silence_start(&session->silence[SIDE_CLIENT], relay->now_ms);
	fill(relay, slot, service, listener, fd, client);
	own_take(session, slot);
	place_begin(relay, session, service);
	kill_point();
	socket_arm_reset(fd);
	kill_point();
	note_local(slot, fd);
	spread_keepalive(session, slot, fd);
	if (relay_watch_session(relay, session->index, SIDE_CLIENT, fd) < 0) {
		ending_begin(relay, session,
			&(struct reason){.who = WHO_SYSTEM, .how = HOW_FAILED, .operation = OPERATION_ACCEPT, .error = errno},
			ENDING_NOW);
		return;
	}
	session_run(relay, session);
}

int session_books(struct slot *slot, enum side s, struct books *ret)
{
	unsigned known = (flow_is_shut(slot->flow[other_side(s)]) ? BOOKS_SHUT : 0) |
			 (slot->side_end[s] == SIDE_FINISHED ? BOOKS_FINISHED : 0);
	int r = books_read(slot->fd[s], known, ret);

	if (r == 0 && ret->error && !slot->side_error[s])
		slot->side_error[s] = ret->error;
	return r;
}

int session_error(struct slot *slot, enum side s)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (slot->side_error[s])
		return slot->side_error[s];
	getsockopt(slot->fd[s], SOL_SOCKET, SO_ERROR, &error, &length);
	return error ? error : ECONNRESET;
}

static bool has_hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* A reset is noticed while the client waits; a FIN ends the wait only if asked to, since an answer may still be wanted. */
static void watch_waiting_client(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	int fd = slot->fd[SIDE_CLIENT];
	struct books books;

	if (!(session->events[SIDE_CLIENT] & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
		return;
	if (socket_family(fd) == AF_UNIX) {
		/* POLLHUP is the peer's close: no answer is wanted any more. What it said before is, as before a FIN. */
		if (!has_hung_up(fd) || books_unread(fd) > 0)
			return;
		ending_peer_failed(relay, session, SIDE_CLIENT, OPERATION_RECEIVE, ECONNRESET);
		return;
	}
	if (session_books(slot, SIDE_CLIENT, &books) < 0)
		return;
	if (books.state == 7) { /* CLOSE: not by us */
		ending_peer_failed(relay, session, SIDE_CLIENT, OPERATION_RECEIVE, session_error(slot, SIDE_CLIENT));
	} else if (books.fin_received && slot->policy.abort_on_close) {
		ending_begin(relay, session,
			&(struct reason){.who = WHO_CLIENT, .how = HOW_CLOSED, .operation = OPERATION_RECEIVE}, ENDING_DELIVER);
	}
}

/* A reset is noticed at once, even where bytes that came before it are still unread because the other side takes none. */
static bool peer_failed(struct relay *relay, struct session *session, enum side s)
{
	struct slot *slot = session_slot(relay, session);
	bool shut = flow_is_shut(slot->flow[other_side(s)]);
	struct books books;

	if (!(session->events[s] & (EPOLLHUP | EPOLLERR)) || (shut && slot->side_end[s] == SIDE_FINISHED) ||
		session_books(slot, s, &books) < 0)
		return false;
	/* CLOSE comes after both FINs, or else by a failure. */
	if (books.state != 7 || (books.fin_received && shut))
		return false;
	ending_peer_failed(relay, session, s, OPERATION_RECEIVE, session_error(slot, s));
	return true;
}

static void run_relaying(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	bool again = false;

	session->starved = false;
	/* A predecessor may have died between noting a failure and acting on it. */
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (slot->side_end[s] == SIDE_FAILED) {
			ending_peer_failed(relay, session, s, slot->side_operation[s], slot->side_error[s]);
			return;
		}
		if (peer_failed(relay, session, s))
			return;
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && slot_state(slot) == SLOT_RELAYING; s++)
		again |= flow_pump(relay, session, s);
	if (slot_state(slot) != SLOT_RELAYING)
		return;
	if (slot->flow[SIDE_CLIENT] == FLOW_SHUT && slot->flow[SIDE_BACKEND] == FLOW_SHUT) {
		ending_begin(relay, session, NULL, ENDING_DELIVER);
		return;
	}
	/* On the wheel it is not due yet. */
	if (!session->due.link && !deadline_look(relay, session))
		return;
	if (again)
		session_queue(relay, session);
}

void session_run(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	if (session->waits)
		adopt_session(relay, session);
	if (!own_check_numbers(relay, session))
		return;
	switch (slot_state(slot)) {
	case SLOT_REFUSING:
		ending_refuse(relay, session);
		break;
	case SLOT_WAITING:
		if (!session->tries && !session->full_told) {
			session->full_told = true;
			link_tell(relay, session, MESSAGE_FULL);
		}
		watch_waiting_client(relay, session);
		break;
	case SLOT_ACQUIRING:
		if (!session->asked) {
			session->asked = true;
			link_tell(relay, session, MESSAGE_ACQUIRE);
		}
		watch_waiting_client(relay, session);
		break;
	case SLOT_CONNECTING:
		if (slot->fd[SIDE_BACKEND] < 0 && !session->round_generation) {
			connect_start(relay, session);
			break;
		}
		watch_waiting_client(relay, session);
		if (slot_state(slot) == SLOT_CONNECTING)
			connect_check(relay, session);
		break;
	case SLOT_RELAYING:
		run_relaying(relay, session);
		break;
	case SLOT_CLOSING:
		closing_run(relay, session);
		break;
	case SLOT_FREE: /* an event for who had this slot before */
	case SLOT_LEAVING:
	case SLOT_GONE:
	case SLOT_ARRIVING:
	case SLOT_RELEASING:
	case SLOT_STATES:
		break;
	}
	session->events[SIDE_CLIENT] = session->events[SIDE_BACKEND] = 0;
}

void session_due(struct relay *relay, struct session *session)
{
	if (!own_check_numbers(relay, session))
		return;
	/* Nothing has happened to its sockets, so they need not be asked for bytes: thousands may be due to be looked at. */
	if (slot_state(session_slot(relay, session)) == SLOT_RELAYING && !session->starved)
		deadline_look(relay, session);
	else if (slot_state(session_slot(relay, session)) == SLOT_WAITING && session->tries)
		place_try_again(relay, session);
	else
		session_run(relay, session);
}

void session_queue(struct relay *relay, struct session *session)
{
	if (session->queued)
		return;
	session->queued = true;
	session->run_next = NULL;
	*relay->run_tail = session;
	relay->run_tail = &session->run_next;
}

void session_verdict(struct relay *relay, struct session *session, const struct message_verdict *verdict)
{
	struct slot *slot = session_slot(relay, session);

	if (slot_state(slot) != SLOT_ACQUIRING)
		return;
	if (verdict->verdict != VERDICT_GO) {
		enum side_ending how = slot->policy.on_connect_failure == END_CLOSE ? ENDING_DELIVER : ENDING_NOW;

		ending_begin(relay, session, &verdict->reason, how);
		return;
	}
	slot_write_begin(slot);
	slot->record.fence = verdict->fence;
	slot_write_end(slot);
	slot->route = verdict->route;
	slot_set_state(slot, SLOT_CONNECTING);
	kill_point();
	session_run(relay, session);
}

void session_end_by_us(struct relay *relay, struct session *session, const struct reason *reason, bool now)
{
	struct slot *slot = session_slot(relay, session);
	static const uint8_t endings[] = {[END_RESET] = ENDING_RESET, [END_RESET_NOW] = ENDING_NOW, [END_CLOSE] = ENDING_DELIVER};

	if (!own_check(relay, session))
		return;
	if (slot_state(slot) == SLOT_LEAVING)
		give_take_back(relay, session);
	switch (slot_state(slot)) {
	case SLOT_REFUSING:
	case SLOT_WAITING:
	case SLOT_ACQUIRING:
	case SLOT_CONNECTING:
	case SLOT_RELAYING:
		ending_begin(relay, session, reason, now ? ENDING_NOW : endings[slot->policy.on_policy_end]);
		break;
	case SLOT_CLOSING:
		if (now)
			ending_now(relay, session);
		break;
	case SLOT_GONE:
		gone_end(relay, session, reason, now);
		break;
	case SLOT_ARRIVING: /* once it is here */
		slot_write_begin(slot);
		slot->record.reason = *reason;
		slot_write_end(slot);
		slot->ending[SIDE_CLIENT] = now ? ENDING_NOW : ENDING_NONE;
		break;
	case SLOT_LEAVING:
	case SLOT_FREE:
	case SLOT_RELEASING:
	case SLOT_STATES:
		break;
	}
}

void session_end_all_by_us(struct relay *relay, const struct reason *reason, bool now)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	for (uint32_t i = 0; i < high; i++)
		session_end_by_us(relay, &relay->sessions[i], reason, now);
}

static void account(struct relay *relay, struct slot *slot)
{
	struct session_record *r = &slot->record;

	slot_write_begin(slot);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		uint64_t moved = atomic_load_explicit(&slot->moved[s], memory_order_relaxed);
		uint64_t acked = slot->acked[other_side(s)];

		r->bytes[s] = moved;
		r->undelivered[s] = slot->received[s] > acked ? slot->received[s] - acked : 0;
	}
	r->ended_ms = relay->now_ms;
	slot_write_end(slot);
}

void session_finish(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	wheel_remove(&relay->wheel, &session->due);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		flow_drop_pipe(relay, session, s);
	account(relay, slot);
	tally_leave(relay, session);
	ring_put(relay, session, EVENT_ENDED);
	kill_point();
	if (slot->told & TOLD_ASKED) {
		slot_set_state(slot, SLOT_RELEASING);
		link_tell(relay, session, MESSAGE_ENDED);
	} else {
		link_forget(relay, session); /* that it waited for a place */
		session_free(relay, session);
	}
}
