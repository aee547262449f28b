/* Listening addresses: what is bound and what is not, and what an operator is told when it cannot be. */
#include "steward/config/address.h"
#include "steward/listen/bind.h"
#include "steward/listen/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

enum { SERVICES_MAX = 8 };

struct world {
	char directory[64];
	struct listeners *listeners;
	struct plan_ids *ids;
	struct ledger_view view;
	struct ledger ledger[2];
	struct address addresses[SERVICES_MAX];
	struct service_config service;
	struct config config;
	struct report report;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	strcpy(w->directory, "/tmp/test_listeners.XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	w->listeners = listeners_new();
	w->ids = plan_ids_new();
	w->view.relays = 2;
	for (uint32_t i = 0; i < 2; i++) {
		int fd = ledger_create(1, i, 1, 4, (struct ledger_trial){0});

		assert_int_equal(ledger_map(&w->ledger[i], fd, true), 0);
		close(fd);
		w->view.of[i] = &w->ledger[i];
	}
	strcpy(w->service.name, "web");
	w->service.listen = w->addresses;
	w->service.policy.side[SIDE_CLIENT] =
		(struct side_policy){.keepalive_idle_s = 33, .keepalive_interval_s = 7, .keepalive_count = 4, .nodelay = 1};
	w->config.file = "t.conf";
	w->config.services = &w->service;
	w->config.service_count = 1;
	w->config.settings.workers = 2;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	listeners_stop(w->listeners);
	listeners_free(w->listeners);
	plan_ids_free(w->ids);
	report_fini(&w->report);
	ledger_unmap(&w->ledger[0]);
	ledger_unmap(&w->ledger[1]);
	assert_int_equal(rmdir(w->directory), 0); /* no socket file is left */
	free(w);
	return 0;
}

static void want(struct world *w, const char *text)
{
	char why[ADDRESS_WHY];

	assert_int_equal(address_parse(text, ADDRESS_LISTEN, &w->addresses[w->service.listen_count++], why), 0);
}

static int prepare(struct world *w)
{
	report_fini(&w->report);
	return listeners_prepare(w->listeners, &w->config, NULL, w->ids, &w->view, false, &w->report);
}

static struct listener_order next(struct world *w, uint32_t relay, enum listener_step step)
{
	struct listener_order order;

	listeners_next(w->listeners, &w->view, relay, step, &order);
	return order;
}

/* The relay takes it: what its ledger lists from now on. */
static void take(struct world *w, uint32_t relay, const struct listener_order *order)
{
	struct ledger_listener *e = w->ledger[relay].header->listeners;

	while (atomic_load(&e->state) != LISTENER_FREE)
		e++;
	e->id = order->which.id;
	e->place = (uint16_t)order->which.place;
	e->shared = (uint16_t)order->shared;
	strcpy(e->address, order->address);
	atomic_store(&e->state, LISTENER_LISTENING);
	listeners_told(w->listeners, relay, order);
	assert_string_equal(listeners_answered(w->listeners, relay, &order->which, 0), order->address);
}

/* The relay closes it. */
static void give_up(struct world *w, uint32_t relay, const struct message_place *which)
{
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *e = &w->ledger[relay].header->listeners[i];

		if (atomic_load(&e->state) != LISTENER_FREE && e->id == which->id && e->place == which->place)
			atomic_store(&e->state, LISTENER_FREE);
	}
	listeners_answered(w->listeners, relay, which, -ESHUTDOWN);
}

static bool settled(struct world *w, uint32_t relay, uint32_t want_failed)
{
	uint32_t failed;
	bool r = listeners_settled(w->listeners, &w->view, relay, &failed);

	assert_int_equal(failed, want_failed);
	return r;
}

/* A port that nobody has, and a living listener on another. */
static uint16_t stranger(int *ret)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof at;
	static const int on = 1;

	*ret = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(*ret, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	assert_int_equal(bind(*ret, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(*ret, 1), 0);
	assert_int_equal(getsockname(*ret, (struct sockaddr *)&at, &length), 0);
	return ntohs(at.sin_port);
}

static uint16_t free_port(void)
{
	int fd;
	uint16_t port = stranger(&fd);

	close(fd);
	return port;
}

static void want_port(struct world *w, const char *host, uint16_t port)
{
	char text[64];

	snprintf(text, sizeof text, "%s:%u", host, port);
	want(w, text);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof value;

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void each_relay_gets_a_socket_of_its_own(void **state)
{
	struct world *w = *state;
	struct listener_order a, b;

	want_port(w, "127.0.0.1", free_port());
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	a = next(w, 0, LISTENER_OPEN);
	assert_int_equal(a.step, LISTENER_OPEN);
	assert_false(a.shared);
	assert_int_equal(option(a.fd, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(option(a.fd, SOL_SOCKET, SO_REUSEPORT), 1);
	assert_int_equal(option(a.fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(a.fd, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	assert_int_equal(option(a.fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
	assert_int_equal(option(a.fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(a.fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_true(fcntl(a.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(a.fd, F_GETFD) & FD_CLOEXEC);
	b = next(w, 1, LISTENER_OPEN);
	assert_int_not_equal(a.fd, b.fd);
	assert_int_equal(a.which.id, b.which.id);
	assert_false(settled(w, 0, 0));
	take(w, 0, &a);
	assert_true(settled(w, 0, 0));
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	assert_int_equal(fcntl(a.fd, F_GETFD), -1); /* ours is closed, or the port would outlive the relay's */
	/* A relay that starts anew has what its ledger lists. */
	listeners_forget(w->listeners, 0);
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	/* One whose message was lost is told again. */
	listeners_told(w->listeners, 1, &b);
	assert_int_equal(next(w, 1, LISTENER_OPEN).step, LISTENER_NOTHING);
	listeners_forget(w->listeners, 1);
	assert_int_equal(next(w, 1, LISTENER_OPEN).fd, b.fd);
}

static void one_failure_changes_nothing_and_all_are_told(void **state)
{
	struct world *w = *state;
	char good[120], at[128];
	int fd;
	uint16_t port = stranger(&fd);

	want_port(w, "127.0.0.1", free_port());
	want_port(w, "127.0.0.1", port);
	want(w, "192.0.2.1:80");
	snprintf(at, sizeof at, "unix:%s/none/x.sock", w->directory);
	want(w, at);
	snprintf(good, sizeof good, "%s/good.sock", w->directory);
	snprintf(at, sizeof at, "unix:%s", good);
	want(w, at);
	want(w, "systemd:web");
	assert_int_not_equal(prepare(w), 0);
	assert_int_equal(w->report.count, 4);
	snprintf(at, sizeof at, "t.conf: services.web.listen: 127.0.0.1:%u: Address already in use (stop what listens there, ",
		port);
	assert_memory_equal(w->report.lines[0], at, strlen(at));
	assert_non_null(
		strstr(w->report.lines[1], "192.0.2.1:80: Cannot assign requested address (no interface of this machine"));
	assert_non_null(strstr(w->report.lines[2], "its directory does not exist"));
	assert_non_null(strstr(w->report.lines[3], "systemd passed no socket of that name"));
	assert_int_equal(listeners_count(w->listeners), 0);
	assert_int_equal(access(good, F_OK), -1);
	close(fd);
}

static void a_removed_address_is_shut_and_a_kept_one_is_not_touched(void **state)
{
	struct world *w = *state;
	struct listener_order first, second, shut;

	want_port(w, "127.0.0.1", free_port());
	want_port(w, "127.0.0.1", free_port());
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	first = next(w, 0, LISTENER_OPEN);
	take(w, 0, &first);
	second = next(w, 0, LISTENER_OPEN);
	take(w, 0, &second);
	assert_int_equal(next(w, 0, LISTENER_SHUT).step, LISTENER_NOTHING);
	w->service.listen_count = 1;
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	shut = next(w, 0, LISTENER_SHUT);
	assert_int_equal(shut.step, LISTENER_SHUT);
	assert_int_equal(shut.which.id, second.which.id);
	listeners_told(w->listeners, 0, &shut);
	assert_int_equal(next(w, 0, LISTENER_SHUT).step, LISTENER_NOTHING);
	listeners_forget(w->listeners, 0);
	assert_int_equal(next(w, 0, LISTENER_SHUT).which.id, second.which.id);
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
}

/* And not for once only: its number and its place in the ledger may be the same again. */
static void what_was_shut_and_opened_again_can_be_shut_again(void **state)
{
	struct world *w = *state;
	struct listener_order open;

	want_port(w, "127.0.0.1", free_port());
	for (int i = 0; i < 2; i++) {
		struct listener_order shut;

		w->service.listen_count = 1;
		assert_int_equal(prepare(w), 0);
		listeners_commit(w->listeners);
		open = next(w, 0, LISTENER_OPEN);
		take(w, 0, &open);
		w->service.listen_count = 0;
		assert_int_equal(prepare(w), 0);
		listeners_commit(w->listeners);
		shut = next(w, 0, LISTENER_SHUT);
		assert_int_equal(shut.step, LISTENER_SHUT);
		assert_int_equal(shut.which.id, open.which.id);
		listeners_told(w->listeners, 0, &shut);
		give_up(w, 0, &shut.which);
	}
}

static void change_workers(struct world *w, uint32_t workers)
{
	w->config.settings.workers = workers;
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
}

/* A listening copy of what goes to that relay, which takes it. */
static int take_listening(struct world *w, uint32_t relay)
{
	struct listener_order open = next(w, relay, LISTENER_OPEN);
	int fd = fcntl(open.fd, F_DUPFD_CLOEXEC, 0);

	assert_int_equal(open.step, LISTENER_OPEN);
	assert_int_equal(listen(fd, 1), 0);
	take(w, relay, &open);
	return fd;
}

static struct listener_order ask_to_lend(struct world *w, uint32_t relay)
{
	struct listener_order lend = next(w, relay, LISTENER_LEND);

	assert_int_equal(lend.step, LISTENER_LEND);
	listeners_told(w->listeners, relay, &lend);
	assert_int_equal(next(w, relay, LISTENER_LEND).step, LISTENER_NOTHING);
	return lend;
}

static void a_socket_goes_to_another_relay_and_back(void **state)
{
	struct world *w = *state;
	struct listener_order lend, shut, open;
	int fd, other;

	want_port(w, "127.0.0.1", free_port());
	change_workers(w, 2);
	close(take_listening(w, 0));
	fd = take_listening(w, 1);
	change_workers(w, 1);
	assert_false(settled(w, 1, 0));
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	assert_int_equal(next(w, 1, LISTENER_SHUT).step, LISTENER_NOTHING);
	assert_int_equal(next(w, 0, LISTENER_LEND).step, LISTENER_NOTHING);
	lend = ask_to_lend(w, 1);
	assert_int_equal(lend.which.place, 1);
	/* What is another's, or was not asked for, goes nowhere. */
	stranger(&other);
	assert_false(listeners_lent(w->listeners, 1, &lend.which, other));
	lend = ask_to_lend(w, 1);
	assert_true(listeners_lent(w->listeners, 0, &lend.which, fcntl(fd, F_DUPFD_CLOEXEC, 0)));
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	assert_true(listeners_lent(w->listeners, 1, &lend.which, fcntl(fd, F_DUPFD_CLOEXEC, 0)));
	open = next(w, 0, LISTENER_OPEN);
	assert_int_equal(open.which.place, 1);
	assert_int_equal(option(open.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	/* It keeps what it has until the other listens. */
	assert_int_equal(next(w, 1, LISTENER_SHUT).step, LISTENER_NOTHING);
	take(w, 0, &open);
	shut = next(w, 1, LISTENER_SHUT);
	assert_memory_equal(&shut.which, &open.which, sizeof shut.which);
	listeners_told(w->listeners, 1, &shut);
	give_up(w, 1, &shut.which);
	assert_true(settled(w, 0, 0));
	assert_true(settled(w, 1, 0));
	/* And back. */
	change_workers(w, 2);
	assert_int_equal(next(w, 1, LISTENER_OPEN).step, LISTENER_NOTHING);
	lend = ask_to_lend(w, 0);
	assert_true(listeners_lent(w->listeners, 0, &lend.which, fd));
	open = next(w, 1, LISTENER_OPEN);
	assert_int_equal(open.fd, fd);
	take(w, 1, &open);
	shut = next(w, 0, LISTENER_SHUT);
	assert_memory_equal(&shut.which, &lend.which, sizeof shut.which);
}

static void a_queue_outlives_the_relay_that_lent_it(void **state)
{
	struct world *w = *state;
	struct listener_order lend;
	int fd;

	want_port(w, "127.0.0.1", free_port());
	change_workers(w, 2);
	close(take_listening(w, 0));
	fd = take_listening(w, 1);
	change_workers(w, 1);
	lend = ask_to_lend(w, 1);
	assert_true(listeners_lent(w->listeners, 1, &lend.which, fd));
	w->view.of[1] = NULL;
	w->view.relays = 1;
	assert_int_equal(next(w, 0, LISTENER_OPEN).fd, fd);
	/* Opening it fails for once: there is no other. */
	listeners_told(w->listeners, 0, &(struct listener_order){.step = LISTENER_OPEN, .which = lend.which});
	listeners_answered(w->listeners, 0, &lend.which, -EMFILE);
	assert_true(settled(w, 0, 1));
	listeners_retry(w->listeners);
	assert_int_equal(next(w, 0, LISTENER_OPEN).fd, fd);
}

static void a_socket_that_was_lost_is_bound_anew_where_it_is_wanted(void **state)
{
	struct world *w = *state;

	want_port(w, "127.0.0.1", free_port());
	change_workers(w, 2);
	close(take_listening(w, 0));
	close(take_listening(w, 1));
	change_workers(w, 1);
	w->view.of[1] = NULL; /* its table is gone */
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	change_workers(w, 2);
	w->view.of[1] = &w->ledger[1];
	memset(w->ledger[1].header->listeners, 0, sizeof w->ledger[1].header->listeners);
	assert_int_equal(option(next(w, 1, LISTENER_OPEN).fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
}

/* A later steward has none to give: it gets one from a relay. */
static void a_shared_socket_is_lent_and_only_closed(void **state)
{
	struct world *w = *state;
	char at[128], path[120], error[BIND_ERROR_SIZE];
	struct listener_order a, b, lend;
	int fd;

	snprintf(path, sizeof path, "%s/x.sock", w->directory);
	snprintf(at, sizeof at, "unix:%s", path);
	want(w, at);
	change_workers(w, 2);
	a = next(w, 0, LISTENER_OPEN);
	b = next(w, 1, LISTENER_OPEN);
	fd = fcntl(a.fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(listen(fd, 1), 0);
	take(w, 0, &a);
	take(w, 1, &b);
	change_workers(w, 1);
	assert_int_equal(next(w, 1, LISTENER_LEND).step, LISTENER_NOTHING);
	b = next(w, 1, LISTENER_SHUT);
	assert_int_equal(b.step, LISTENER_SHUT);
	listeners_told(w->listeners, 1, &b);
	give_up(w, 1, &b.which);
	listeners_free(w->listeners);
	w->listeners = listeners_new();
	assert_int_equal(listeners_prepare(w->listeners, &w->config, NULL, w->ids, &w->view, true, &w->report), 0);
	listeners_commit(w->listeners);
	change_workers(w, 2);
	assert_int_equal(next(w, 1, LISTENER_OPEN).step, LISTENER_NOTHING);
	lend = ask_to_lend(w, 0);
	assert_true(listeners_lent(w->listeners, 0, &lend.which, fd));
	b = next(w, 1, LISTENER_OPEN);
	assert_int_equal(b.fd, fd);
	assert_int_equal(b.which.place, 1);
	take(w, 1, &b);
	assert_int_equal(bind_unix(path, -1, false, error), -EADDRINUSE); /* the same one lives */
}

static void a_unix_socket_is_shared_and_its_file_removed(void **state)
{
	struct world *w = *state;
	char at[128], path[120];
	struct stat st;
	struct listener_order a, b;

	snprintf(path, sizeof path, "%s/x.sock", w->directory);
	snprintf(at, sizeof at, "unix:%s", path);
	want(w, at);
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	a = next(w, 0, LISTENER_OPEN);
	b = next(w, 1, LISTENER_OPEN);
	assert_true(a.shared);
	assert_int_equal(a.fd, b.fd);
	take(w, 0, &a);
	take(w, 1, &b);
	assert_true(fcntl(a.fd, F_GETFD) >= 0); /* for a pair that comes later */
	w->service.listen_count = 0;
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	assert_int_equal(stat(path, &st), -1);
}

static void a_stale_socket_file_is_replaced_and_a_living_one_is_not(void **state)
{
	struct world *w = *state;
	char path[120], error[BIND_ERROR_SIZE];
	struct stat st;
	int fd, other;

	snprintf(path, sizeof path, "%s/x.sock", w->directory);
	fd = bind_unix(path, 0600, false, error);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(bind_unix(path, 0600, false, error), -EADDRINUSE);
	assert_non_null(strstr(error, "another process listens there"));
	close(fd);
	fd = bind_unix(path, 0660, false, error);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* Our own, to be served anew. */
	assert_int_equal(listen(fd, 1), 0);
	other = bind_unix(path, 0600, true, error);
	assert_true(other >= 0);
	close(other);
	close(fd);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(bind_unix(path, 0600, false, error), -EEXIST);
	assert_non_null(strstr(error, "no socket"));
	unlink(path);
}

static void an_inherited_socket_is_passed_on(void **state)
{
	struct world *w = *state;
	struct listener_order a;
	int fd;

	stranger(&fd);
	listeners_inherit(w->listeners, "web", fd);
	want(w, "systemd:web");
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	a = next(w, 0, LISTENER_OPEN);
	assert_true(a.shared);
	assert_string_equal(a.address, "systemd:web");
}

static void a_socket_that_a_relay_cannot_open_is_tried_again(void **state)
{
	struct world *w = *state;
	struct listener_order a;

	want_port(w, "127.0.0.1", free_port());
	assert_int_equal(prepare(w), 0);
	listeners_commit(w->listeners);
	a = next(w, 0, LISTENER_OPEN);
	listeners_told(w->listeners, 0, &a);
	listeners_answered(w->listeners, 0, &a.which, -EADDRINUSE);
	assert_true(settled(w, 0, 1));
	assert_int_equal(next(w, 0, LISTENER_OPEN).step, LISTENER_NOTHING);
	listeners_retry(w->listeners);
	a = next(w, 0, LISTENER_OPEN);
	assert_int_equal(a.step, LISTENER_OPEN);
	take(w, 0, &a);
	assert_true(settled(w, 0, 0));
	/* The end of a former listener of that address is no failure. */
	listeners_answered(w->listeners, 0, &a.which, -ESHUTDOWN);
	assert_true(settled(w, 0, 0));
	assert_null(listeners_answered(w->listeners, 0, &(struct message_place){9999, 0}, 0));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(each_relay_gets_a_socket_of_its_own),
		T(one_failure_changes_nothing_and_all_are_told),
		T(a_removed_address_is_shut_and_a_kept_one_is_not_touched),
		T(what_was_shut_and_opened_again_can_be_shut_again),
		T(a_socket_goes_to_another_relay_and_back),
		T(a_queue_outlives_the_relay_that_lent_it),
		T(a_socket_that_was_lost_is_bound_anew_where_it_is_wanted),
		T(a_shared_socket_is_lent_and_only_closed),
		T(a_unix_socket_is_shared_and_its_file_removed),
		T(a_stale_socket_file_is_replaced_and_a_living_one_is_not),
		T(an_inherited_socket_is_passed_on),
		T(a_socket_that_a_relay_cannot_open_is_tried_again),
	};

	log_to_nowhere();
	return cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
}
