#include "relay/door.h"

#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/session.h"
#include "relay/socket.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_TURNS = 64, PAUSE_MS = 100, SAY_EVERY_MS = 10000, BACKLOG = 65535 }; /* listen(2) caps it at net.core.somaxconn */

static enum listener_state state_of(const struct ledger_listener *l)
{
	return (enum listener_state)atomic_load_explicit(&l->state, memory_order_relaxed);
}

static void set_state(struct ledger_listener *l, enum listener_state state)
{
	atomic_store_explicit(&l->state, state, memory_order_release);
}

static struct ledger_listener *find(struct relay *relay, const struct message_place *which)
{
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *l = &relay->header->listeners[i];

		if (state_of(l) != LISTENER_FREE && l->id == which->id && l->place == which->place)
			return l;
	}
	return NULL;
}

static struct message_place place_of(const struct ledger_listener *l)
{
	return (struct message_place){l->id, l->place};
}

static uint32_t index_of(const struct relay *relay, const struct ledger_listener *l)
{
	return (uint32_t)(l - relay->header->listeners);
}

static bool has_room(const struct relay *relay)
{
	return relay->vacancies.live < relay->sessions_max;
}

/* The set watches nothing that it must not: another process may hold a copy of an inherited socket, so closing would not do. */
static void watch(struct relay *relay, bool on)
{
	for (uint32_t i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *l = &relay->header->listeners[i];

		if (state_of(l) != LISTENER_LISTENING)
			continue;
		if (on)
			relay_watch_listener(relay, i, l->fd);
		else
			epoll_ctl(relay->epoll, EPOLL_CTL_DEL, l->fd, NULL);
	}
}

static void pause_doors(struct relay *relay, uint64_t for_ms)
{
	relay->doors_resume_ms = relay->now_ms + for_ms;
	if (relay->doors_paused)
		return;
	relay->doors_paused = true;
	watch(relay, false);
}

void doors_rest(struct relay *relay)
{
	pause_doors(relay, PAUSE_MS);
}

void doors_resume(struct relay *relay)
{
	if (!relay->doors_paused || relay->now_ms < relay->doors_resume_ms || !has_room(relay))
		return;
	relay->doors_paused = false;
	watch(relay, true);
}

static void apply_policy(struct relay *relay, const struct ledger_listener *l)
{
	const struct plan_service *service = plan_service_of_listener(&relay->plan, l->id);
	const char *option = NULL;
	int r;

	if (!service)
		return;
	r = socket_apply(l->fd, l->local.family, &service->policy.side[SIDE_CLIENT], &option);
	if (r < 0)
		say(LOG_ERR, "service %s: cannot set %s on listener %s: %s", service->name, option, l->address, strerror(-r));
	socket_pace(l->fd, &service->policy.side[SIDE_CLIENT], relay->rto_max_ms);
}

static void open_listed(struct relay *relay, struct ledger_listener *l)
{
	const struct message_place which = place_of(l);
	int r = 0;

	apply_policy(relay, l);
	if (listen(l->fd, BACKLOG) < 0)
		r = -errno;
	kill_point();
	if (r == 0) {
		set_state(l, LISTENER_LISTENING);
		if (!relay->doors_paused)
			r = relay_watch_listener(relay, index_of(relay, l), l->fd);
	}
	if (r < 0) {
		int fd = l->fd;

		set_state(l, LISTENER_FREE);
		close(fd);
	}
	link_listening(relay, &which, r);
}

void door_open(struct relay *relay, struct message *m)
{
	const struct message_listen *wanted = &m->body.listen;
	const struct message_place which = {wanted->id, wanted->place};
	struct ledger_listener *l = find(relay, &which);
	struct sockaddr_storage local = {0};
	socklen_t length = sizeof local;

	if (l && state_of(l) == LISTENER_LISTENING) { /* asked twice */
		link_listening(relay, &which, 0);
		return;
	}
	if (!l) {
		for (int i = 0; i < LEDGER_LISTENERS && !l; i++)
			if (state_of(&relay->header->listeners[i]) == LISTENER_FREE)
				l = &relay->header->listeners[i];
		if (!l || getsockname(m->fds[0], (struct sockaddr *)&local, &length) < 0) {
			link_listening(relay, &which, l ? -errno : -ENOSPC);
			return;
		}
		l->id = wanted->id;
		l->shared = (uint16_t)wanted->shared;
		l->place = (uint16_t)wanted->place;
		l->fd = m->fds[0];
		endpoint_from_sockaddr(&l->local, &local);
		memcpy(l->address, wanted->address, sizeof l->address);
		l->address[sizeof l->address - 1] = '\0';
		fcntl(l->fd, F_SETFD, 0); /* it goes over an exec with us */
		m->fds[0] = -1;
		set_state(l, LISTENER_BOUND);
		kill_point();
	}
	open_listed(relay, l);
}

static void finish_closing(struct relay *relay, struct ledger_listener *l)
{
	const struct message_place which = place_of(l);
	int fd = l->fd;

	epoll_ctl(relay->epoll, EPOLL_CTL_DEL, fd, NULL);
	l->fd = -1;
	set_state(l, LISTENER_FREE);
	kill_point();
	close(fd);
	link_listening(relay, &which, -ESHUTDOWN);
}

static void close_listed(struct relay *relay, struct ledger_listener *l)
{
	/* Those who were let in by the kernel already are served, or they would see a reset. An inherited queue belongs to
	 * others, too. */
	if (!l->shared && plan_service_of_listener(&relay->plan, l->id))
		for (int i = 0; i < BACKLOG / ACCEPT_TURNS && door_accept(relay, index_of(relay, l)); i++)
			; /* the queue may be as long as that, and a flood must not keep us here for ever */
	finish_closing(relay, l);
}

void door_close(struct relay *relay, const struct message_place *which)
{
	struct ledger_listener *l = find(relay, which);

	if (l)
		close_listed(relay, l);
}

void door_lend(struct relay *relay, const struct message_place *which)
{
	struct ledger_listener *l = find(relay, which);

	if (l)
		link_lend(relay, which, l->fd);
}

void doors_drain(struct relay *relay)
{
	relay->header->draining = 1;
	for (uint32_t i = 0; i < LEDGER_LISTENERS; i++)
		if (state_of(&relay->header->listeners[i]) != LISTENER_FREE)
			close_listed(relay, &relay->header->listeners[i]);
}

bool doors_are_any(const struct relay *relay)
{
	for (uint32_t i = 0; i < LEDGER_LISTENERS; i++)
		if (state_of(&relay->header->listeners[i]) != LISTENER_FREE)
			return true;
	return false;
}

/* Errors of the connection, not of the listener: accept(2). */
static bool is_of_client(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM:
		return true;
	}
	return false;
}

/* Out of descriptors or memory, or the listener was shut by someone who shares it. Whoever waits there goes on waiting. */
static void rest(struct relay *relay, const struct ledger_listener *l, int error)
{
	pause_doors(relay, PAUSE_MS);
	if (relay->doors_said_ms && relay->now_ms - relay->doors_said_ms < SAY_EVERY_MS)
		return;
	relay->doors_said_ms = relay->now_ms;
	say(LOG_WARNING, "cannot accept on %s: %s; clients wait there, and every %d ms it is tried again", l->address,
		strerror(error), PAUSE_MS);
}

bool door_accept(struct relay *relay, uint32_t index)
{
	struct ledger_listener *l = &relay->header->listeners[index];
	const struct plan_service *service = plan_service_of_listener(&relay->plan, l->id);

	for (int i = 0; i < ACCEPT_TURNS && state_of(l) == LISTENER_LISTENING; i++) {
		struct sockaddr_storage client = {0};
		socklen_t length = sizeof client;
		int fd;

		if (!has_room(relay)) { /* they wait in the kernel's queue */
			pause_doors(relay, 0);
			return false;
		}
		fd = accept4(l->fd, (struct sockaddr *)&client, &length, SOCK_NONBLOCK);
		kill_point();
		if (fd < 0) {
			if (is_of_client(errno))
				continue;
			if (errno != EAGAIN)
				rest(relay, l, errno);
			return false;
		}
		if (!service) { /* the address has left the plan; its closing is on its way */
			socket_arm_reset(fd);
			close(fd);
			continue;
		}
		session_begin(relay, service, l, fd, &client);
	}
	return state_of(l) == LISTENER_LISTENING;
}

void doors_apply_plan(struct relay *relay)
{
	uint32_t share = relay->ledger.slot_count;

	if (relay->plan.header->sessions_max) {
		uint32_t relays = relay->plan.header->relays ? relay->plan.header->relays : 1;
		uint32_t asked = (relay->plan.header->sessions_max + relays - 1) / relays;

		if (asked < share)
			share = asked;
	}
	relay->sessions_max = share;
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		if (state_of(&relay->header->listeners[i]) == LISTENER_LISTENING)
			apply_policy(relay, &relay->header->listeners[i]);
}

void doors_adopt(struct relay *relay)
{
	if (relay->header->draining) {
		doors_drain(relay);
		return;
	}
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *l = &relay->header->listeners[i];

		switch (state_of(l)) {
		case LISTENER_FREE:
			break;
		case LISTENER_BOUND:
			open_listed(relay, l);
			break;
		case LISTENER_LISTENING:
			relay_watch_listener(relay, (uint32_t)i, l->fd);
			break;
		}
	}
}

static bool same_place(const struct sockaddr_storage *a, const struct ledger_listener *l)
{
	static const uint8_t any[16];
	struct endpoint e;

	endpoint_from_sockaddr(&e, a);
	if (e.family == AF_UNIX && l->local.family == AF_UNIX) {
		const char *path = ((const struct sockaddr_un *)a)->sun_path;

		return l->shared || strcmp(l->address + strlen("unix:"), path) == 0;
	}
	if (e.port != l->local.port)
		return false;
	if (memcmp(l->local.ip, any, sizeof any) == 0) /* on all addresses; on "*" also IPv4 clients of an IPv6 socket */
		return e.family == l->local.family || l->local.family == AF_INET6;
	return e.family == l->local.family && memcmp(e.ip, l->local.ip, sizeof e.ip) == 0;
}

const struct ledger_listener *door_of(struct relay *relay, int fd)
{
	struct sockaddr_storage local = {0};
	socklen_t length = sizeof local;

	if (getsockname(fd, (struct sockaddr *)&local, &length) < 0)
		return NULL;
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		if (state_of(&relay->header->listeners[i]) == LISTENER_LISTENING &&
			same_place(&local, &relay->header->listeners[i]))
			return &relay->header->listeners[i];
	return NULL;
}
