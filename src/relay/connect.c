#include "relay/connect.h"

#include "relay/books.h"
#include "relay/cause.h"
#include "relay/door.h"
#include "relay/ending.h"
#include "relay/flow.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/review.h"
#include "relay/ring.h"
#include "relay/socket.h"
#include "relay/tally.h"
#include "wire/liveness.h"
#include "wire/say.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

enum { SYN_SENT = 2, CLOSE = 7 }; /* include/net/tcp_states.h */
enum {
	AGAIN_MS = 20,   /* until a full unix listener is asked again */
	STARVED_MS = 50, /* until a socket is asked for again */
};

/* FNV-1a over the client's address: the same client goes to the same backend as long as the list stands. */
static uint32_t hash_of(const struct endpoint *e)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof e->ip; i++)
		hash = (hash ^ e->ip[i]) * 16777619u;
	return hash;
}

static uint32_t choose(struct relay *relay, const struct plan_service *service, const struct slot *slot)
{
	uint32_t count = service->backend_count, best = 0, least = UINT32_MAX, first;

	switch ((enum balance)service->balance) {
	case BALANCE_ROUND_ROBIN:
		return relay->turn_of_backend[service->id]++ % count;
	case BALANCE_LEAST_CONNECTIONS:
		/* Among equals they take turns. */
		first = relay->turn_of_backend[service->id]++ % count;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t b = (first + i) % count;
			uint32_t total = census_backend_total(relay->census, relay->plan.backends[service->first_backend + b].id);

			if (total < least && relay->plan.backends[service->first_backend + b].address_count) {
				least = total;
				best = b;
			}
		}
		return best;
	case BALANCE_SOURCE_HASH:
		return hash_of(&slot->record.client) % count;
	case BALANCE_FAILOVER:
		break;
	}
	return 0;
}

static void give_up(struct relay *relay, struct session *session, enum who who, enum how how, int error)
{
	struct slot *slot = session_slot(relay, session);

	ending_begin(relay, session,
		&(struct reason){.who = (uint8_t)who, .how = (uint8_t)how, .operation = OPERATION_CONNECT, .error = error},
		slot->policy.on_connect_failure == END_CLOSE ? ENDING_DELIVER : ENDING_NOW);
}

static void connected(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct sockaddr_storage source = {0};
	socklen_t length = sizeof source;

	if (flow_prepare(relay, session) < 0) {
		give_up(relay, session, WHO_SYSTEM, HOW_LIMIT, EMFILE);
		return;
	}
	silence_start(&session->silence[SIDE_BACKEND], relay->now_ms);
	if (slot->policy.side[SIDE_BACKEND].ask_gap_ms)
		socket_pace(slot->fd[SIDE_BACKEND], &slot->policy.side[SIDE_BACKEND], relay->rto_max_ms);
	getsockname(slot->fd[SIDE_BACKEND], (struct sockaddr *)&source, &length);
	slot_write_begin(slot);
	slot->record.connected_ms = relay->now_ms;
	endpoint_from_sockaddr(&slot->record.source, &source);
	slot_write_end(slot);
	wheel_remove(&relay->wheel, &session->due);
	slot->deadline_ms = 0;
	kill_point();
	ring_put(relay, session, EVENT_CONNECTED);
	slot_set_state(slot, SLOT_RELAYING);
	kill_point();
	/* What waited meanwhile made its edge long ago. */
	session_queue(relay, session);
	/* Its backend was chosen under another plan, by which it may be gone. */
	if (relay->plan.header && session->round_generation != relay->plan.header->generation)
		review_session(relay, session);
}

static void forget_socket(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	int fd = session->own.fd[SIDE_BACKEND];

	tally_leave_backend(relay, session);
	own_set_fd(session, slot, SIDE_BACKEND, -1);
	kill_point();
	if (fd >= 0)
		close(fd);
}

/* The round over the backends begins (again): under another plan than the one it began under, the slot's numbers mean nothing. */
static void begin_round(struct relay *relay, struct session *session, const struct plan_service *service)
{
	struct slot *slot = session_slot(relay, session);

	session->round_generation = relay->plan.header->generation;
	slot->candidate = slot->address = 0;
	if (service && service->backend_count)
		slot->candidate = choose(relay, service, slot);
	session->first_candidate = slot->candidate;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof peer;

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

/* 0: connected or on its way; else -errno of why not. */
static int try_address(struct relay *relay, struct session *session, const struct plan_address *to, uint32_t backend_id)
{
	struct slot *slot = session_slot(relay, session);
	struct side_policy policy = slot->policy.side[SIDE_BACKEND];
	const char *option = NULL;
	int fd, r;

	slot_write_begin(slot);
	endpoint_from_sockaddr(&slot->record.backend, &to->to);
	slot->record.backend_id = backend_id;
	slot_write_end(slot);
	slot->given_base[SIDE_BACKEND] = to->to.ss_family == AF_UNIX ? 0 : 1; /* its SYN counts among the acknowledged */
	if (backend_id)
		tally_enter_backend(relay, session, backend_id);
	if (!slot->deadline_ms)
		slot->deadline_ms = relay->now_ms + policy.connect_timeout_ms;
	fd = socket(to->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	kill_point();
	/* Listed before it can be connected: unlisted ones are closed by who comes after us. */
	own_set_fd(session, slot, SIDE_BACKEND, fd);
	kill_point();
	liveness_spread(&policy, session->index);
	r = socket_apply(fd, to->to.ss_family, &policy, &option);
	if (r < 0) {
		say(LOG_ERR, "service %s: cannot set %s on a backend's socket: %s", slot->record.service, option, strerror(-r));
		return r;
	}
	socket_arm_reset(fd);
	wheel_set(&relay->wheel, &session->due, slot->deadline_ms);
	kill_point();
	r = connect(fd, (const struct sockaddr *)&to->to, to->length) < 0 ? -errno : 0;
	kill_point();
	/* A unix listener whose queue is full: another client would wait there, and so do we. */
	if (r == -EAGAIN && to->to.ss_family == AF_UNIX) {
		wheel_set(&relay->wheel, &session->due, relay->now_ms + AGAIN_MS);
		return 0;
	}
	if (r < 0 && r != -EINPROGRESS)
		return r;
	return relay_watch_session(relay, session->index, SIDE_BACKEND, fd);
}

/* The next address in the round: 1, or 0 when the round is over. */
static int next_address(struct session *session, struct slot *slot, const struct plan *plan, const struct plan_service *service)
{
	const struct plan_backend *backends = &plan->backends[service->first_backend];

	slot->address++;
	while (slot->address >= backends[slot->candidate].address_count) {
		slot->candidate = (slot->candidate + 1) % service->backend_count;
		slot->address = 0;
		if (slot->candidate == session->first_candidate)
			return 0;
		if (backends[slot->candidate].address_count)
			return 1;
	}
	return 1;
}

static void route_address(const struct endpoint *route, struct plan_address *ret)
{
	memset(ret, 0, sizeof *ret);
	if (route->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&ret->to;

		in->sin_family = AF_INET;
		in->sin_port = htons(route->port);
		memcpy(&in->sin_addr, route->ip, 4);
		ret->length = sizeof *in;
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->to;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(route->port);
		in6->sin6_scope_id = route->scope;
		memcpy(&in6->sin6_addr, route->ip, 16);
		ret->length = sizeof *in6;
	}
}

static enum how how_of_connect(int error)
{
	if (error == ECONNREFUSED || error == ENOENT) /* a unix socket that is not there */
		return HOW_REFUSED;
	return error == ETIMEDOUT ? HOW_CONNECT_TIMEOUT : cause_of_error(error);
}

static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL;
}

/* Tries on from the slot's candidate until something is on its way. error: of the try before, 0: none. */
static void go_on(struct relay *relay, struct session *session, int error)
{
	struct slot *slot = session_slot(relay, session);
	const struct plan_service *service = plan_service_by_id(&relay->plan, slot->record.service_id);
	struct plan_address routed;
	bool again = error != 0;

	if (relay->plan.header && (session->round_generation != relay->plan.header->generation ||
					  (service && slot->candidate >= service->backend_count))) {
		begin_round(relay, session, service);
		again = again && slot->route.family != AF_UNSPEC;
	}
	for (;;) {
		const struct plan_address *to = &routed;
		uint32_t id = 0;
		int r;

		if (slot->tries > slot->policy.connect_retries)
			break;
		if (slot->route.family != AF_UNSPEC) {
			if (again)
				break;
			route_address(&slot->route, &routed);
		} else {
			const struct plan_backend *backend;

			if (!service || !service->backend_count || (again && !next_address(session, slot, &relay->plan, service)))
				break;
			backend = &relay->plan.backends[service->first_backend + slot->candidate];
			if (slot->address >= backend->address_count) { /* its name does not resolve */
				again = true;
				continue;
			}
			to = &relay->plan.addresses[backend->first_address + slot->address];
			id = backend->id;
		}
		r = try_address(relay, session, to, id);
		/* Counted when it was made: one that a death cut off is made again. */
		slot->tries++;
		kill_point();
		if (r == 0) {
			if (to->to.ss_family != AF_UNIX || is_connected(slot->fd[SIDE_BACKEND]))
				connect_check(relay, session);
			return;
		}
		error = -r;
		/* No socket for it: whoever frees one must not lose it to a newcomer, so those wait. */
		if (slot->fd[SIDE_BACKEND] < 0 && is_ours(error) && relay->now_ms < slot->deadline_ms) {
			tally_leave_backend(relay, session);
			slot->tries--;
			doors_rest(relay);
			wheel_set(&relay->wheel, &session->due, relay->now_ms + STARVED_MS);
			return;
		}
		slot->deadline_ms = 0;
		forget_socket(relay, session);
		again = true;
	}
	if (!error)
		give_up(relay, session, WHO_BACKEND, HOW_NO_BACKEND, 0);
	else if (is_ours(error))
		give_up(relay, session, WHO_SYSTEM, HOW_LIMIT, error);
	else
		give_up(relay, session, WHO_BACKEND, how_of_connect(error), error);
}

static void failed(struct relay *relay, struct session *session, int error)
{
	struct slot *slot = session_slot(relay, session);

	link_resolve(relay, slot->record.backend_id);
	slot->deadline_ms = 0;
	forget_socket(relay, session);
	go_on(relay, session, error);
}

/* The same address once more, within what is left of its time: it was not asked yet, or its queue was full. */
static void same_again(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	forget_socket(relay, session);
	if (slot->tries)
		slot->tries--;
	go_on(relay, session, 0);
}

void connect_start(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	slot->deadline_ms = 0;
	session->round_generation = 0;
	go_on(relay, session, 0);
}

void connect_adopt(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	const struct plan_service *service = plan_service_by_id(&relay->plan, slot->record.service_id);

	if (!relay->plan.header || slot->record.plan_generation != relay->plan.header->generation || !service ||
		slot->candidate >= service->backend_count)
		return;
	session->round_generation = slot->record.plan_generation;
	session->first_candidate = slot->candidate;
}

void connect_check(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	int fd = slot->fd[SIDE_BACKEND], error = 0, state;
	socklen_t length = sizeof error;
	struct books books;

	if (fd < 0) { /* it waits for a socket, or a predecessor died between two tries */
		if (session->round_generation)
			go_on(relay, session, 0);
		else
			connect_start(relay, session);
		return;
	}
	state = books_state(fd);
	if (state < 0) { /* a unix socket is connected at once or not at all */
		if (is_connected(fd))
			connected(relay, session);
		else if (slot->deadline_ms && relay->now_ms >= slot->deadline_ms)
			failed(relay, session, ETIMEDOUT);
		else
			same_again(relay, session);
		return;
	}
	if (state == SYN_SENT) {
		if (relay->now_ms >= slot->deadline_ms)
			failed(relay, session, ETIMEDOUT);
		return;
	}
	if (state == CLOSE && books_read(fd, 0, &books) == 0) {
		error = books.error;
		if (!error)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error == ENOTCONN) { /* a predecessor died between listing it and connect: this try has not been made */
			same_again(relay, session);
			return;
		}
		if (error != ECONNRESET && error != EPIPE && !books.received && !books.fin_received) {
			failed(relay, session, error ? error : ECONNREFUSED);
			return;
		}
		/* It was connected, and has been reset since. What it said before is still to be delivered. */
		slot->side_error[SIDE_BACKEND] = error;
	}
	connected(relay, session);
}
