/* The kernel's word on connections of ours, over loopback. */
#include "steward/control/tcp_view.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRIES = 500, TRY_MS = 10 };

struct link {
	struct tcp_view view;
	int listener, ours, theirs;
	struct endpoint own, peer;
};

static void take_name(int fd, struct endpoint *ret, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof address;

	assert_int_equal(name(fd, (struct sockaddr *)&address, &length), 0);
	endpoint_from_sockaddr(ret, &address);
}

/* Listens at `at`, and is connected to from `from`, both with port 0. */
static void open_link(struct link *l, const struct sockaddr *at, const struct sockaddr *from, socklen_t length)
{
	struct sockaddr_storage to = {0};
	socklen_t to_length = sizeof to;
	int small = 4096;

	tcp_view_open(&l->view);
	assert_int_equal(l->view.error, 0);
	l->listener = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(l->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	assert_int_equal(bind(l->listener, at, length), 0);
	assert_int_equal(listen(l->listener, 1), 0);
	assert_int_equal(getsockname(l->listener, (struct sockaddr *)&to, &to_length), 0);
	l->theirs = socket(from->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(l->theirs, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	if (from->sa_family != at->sa_family) { /* the same port, of IPv4 */
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		in.sin_port = ((struct sockaddr_in6 *)&to)->sin6_port;
		assert_int_equal(connect(l->theirs, (struct sockaddr *)&in, sizeof in), 0);
	} else {
		assert_int_equal(connect(l->theirs, (struct sockaddr *)&to, to_length), 0);
	}
	l->ours = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(l->ours >= 0);
	take_name(l->ours, &l->own, getsockname);
	take_name(l->ours, &l->peer, getpeername);
}

static void close_link(struct link *l)
{
	tcp_view_close(&l->view);
	close(l->ours);
	close(l->theirs);
	close(l->listener);
}

static struct tcp_facts asked(struct link *l)
{
	struct tcp_facts facts;

	memset(&facts, 0xa5, sizeof facts);
	assert_int_equal(tcp_view_ask(&l->view, &l->own, &l->peer, &facts), 0);
	return facts;
}

#define WAIT_UNTIL(l, facts, condition)                                                                                          \
	do {                                                                                                                     \
		int tries = 0;                                                                                                   \
		while ((facts) = asked(l), !(condition)) {                                                                       \
			assert_true(++tries < TRIES);                                                                            \
			poll(NULL, 0, TRY_MS);                                                                                   \
		}                                                                                                                \
	} while (0)

static void open_loopback(struct link *l)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	open_link(l, (struct sockaddr *)&at, (struct sockaddr *)&at, sizeof at);
}

static void bytes_are_counted_where_they_are(void **state)
{
	static char bytes[100000];
	struct tcp_facts f;
	struct link l;
	ssize_t given = 0, n;

	(void)state;
	open_loopback(&l);
	f = asked(&l);
	assert_string_equal(tcp_state_word(f.state), "established");
	assert_int_equal(f.unacked_bytes + f.unsent_bytes + f.unread_bytes, 0);
	assert_in_range(f.window, 1, 1 << 20);
	assert_int_equal(f.asks_in_ms, 0);
	assert_int_equal(send(l.theirs, bytes, 345, 0), 345);
	WAIT_UNTIL(&l, f, f.unread_bytes == 345);
	assert_true(tcp_facts_heard_ms(&f) < 1000);
	/* No one reads there. */
	for (int i = 0; i < TRIES && (i == 0 || given > 0); i++) {
		n = send(l.ours, bytes, sizeof bytes, MSG_DONTWAIT);
		if (n < 0)
			break;
		given += n;
	}
	WAIT_UNTIL(&l, f, f.unsent_bytes > 0 && f.unacked_bytes == 0);
	assert_true(f.window < f.mss && f.unsent_bytes < given);
	assert_in_range(f.asks_in_ms, 1, 120000);
	close_link(&l);
}

static void ends_are_no_bytes(void **state)
{
	struct tcp_facts f;
	struct link l;
	char byte;

	(void)state;
	open_loopback(&l);
	assert_int_equal(send(l.theirs, "abc", 3, 0), 3);
	shutdown(l.theirs, SHUT_WR);
	WAIT_UNTIL(&l, f, strcmp(tcp_state_word(f.state), "close-wait") == 0);
	assert_int_equal(f.unread_bytes, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(recv(l.ours, &byte, 1, 0), 1);
	assert_int_equal(asked(&l).unread_bytes, 0);
	assert_int_equal(recv(l.ours, &byte, 1, 0), 0);
	assert_int_equal(asked(&l).unread_bytes, 0);
	close_link(&l);

	open_loopback(&l);
	shutdown(l.ours, SHUT_WR);
	WAIT_UNTIL(&l, f, !f.end_unacked);
	assert_string_equal(tcp_state_word(f.state), "fin-wait-2");
	assert_int_equal(f.unacked_bytes + f.unsent_bytes, 0);
	close_link(&l);
}

static void other_families_are_found(void **state)
{
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct link l;

	(void)state;
	open_link(&l, (struct sockaddr *)&loopback, (struct sockaddr *)&loopback, sizeof loopback);
	assert_int_equal(l.own.family, AF_INET6);
	asked(&l);
	close_link(&l);
	/* An IPv4 client of a listener for both. */
	open_link(&l, (struct sockaddr *)&any, (struct sockaddr *)&four, sizeof any);
	assert_int_equal(l.own.family, AF_INET);
	asked(&l);
	close_link(&l);
}

static void what_is_no_connection_is_not_found(void **state)
{
	struct endpoint unix_end = {.family = AF_UNIX}, none = {0};
	struct linger now = {1, 0};
	struct tcp_facts f;
	struct link l;

	(void)state;
	open_loopback(&l);
	/* Its listener still stands there. */
	setsockopt(l.ours, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(l.ours);
	assert_int_equal(tcp_view_ask(&l.view, &l.own, &l.peer, &f), -ENOENT);
	close(l.listener);
	assert_int_equal(tcp_view_ask(&l.view, &l.own, &l.peer, &f), -ENOENT);
	assert_int_equal(tcp_view_ask(&l.view, &unix_end, &unix_end, &f), -EAFNOSUPPORT);
	assert_int_equal(tcp_view_ask(&l.view, &none, &l.peer, &f), -EAFNOSUPPORT);
	assert_string_equal(tcp_state_word(77), "?");
	l.ours = l.listener = -1;
	close_link(&l);
}

static void a_view_that_is_none_says_so(void **state)
{
	struct endpoint e = {.family = AF_INET};
	struct tcp_view view = {.fd = -1, .error = -EPROTONOSUPPORT};
	struct tcp_facts f;

	(void)state;
	assert_int_equal(tcp_view_ask(&view, &e, &e, &f), -EPROTONOSUPPORT);
	tcp_view_close(&view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_counted_where_they_are),
		cmocka_unit_test(ends_are_no_bytes),
		cmocka_unit_test(other_families_are_found),
		cmocka_unit_test(what_is_no_connection_is_not_found),
		cmocka_unit_test(a_view_that_is_none_says_so),
	};
	return cmocka_run_group_tests_name("tcp_view", tests, NULL, NULL);
}
