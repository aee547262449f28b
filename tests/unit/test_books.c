/* The kernel's books agree with what two peers really did, at every step and after every kind of end. */
#include "relay/books.h"

#include "relay/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct end {
	int fd;
	int64_t base, wrote, took;
	bool shut;
};

static char bytes[1 << 17];

static void connect_pair(struct end *connected, struct end *accepted)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	*connected = (struct end){.fd = socket(AF_INET, SOCK_STREAM, 0), .base = 1};
	assert_return_code(bind(listener, (struct sockaddr *)&a, sizeof a), errno);
	assert_return_code(listen(listener, 1), errno);
	assert_return_code(getsockname(listener, (struct sockaddr *)&a, &length), errno);
	assert_return_code(connect(connected->fd, (struct sockaddr *)&a, sizeof a), errno);
	*accepted = (struct end){.fd = accept4(listener, NULL, NULL, 0)};
	assert_return_code(accepted->fd, errno);
	close(listener);
}

static void expect(const struct end *e)
{
	struct books b;

	assert_int_equal(books_read(e->fd, e->shut, &b), 0);
	assert_int_equal(b.taken, e->took);
	assert_int_equal(b.given - e->base, e->wrote);
	assert_true(b.acked - e->base <= e->wrote);
}

static void readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void every_step_is_in_the_books(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct end ends[2];

		srandom(round);
		connect_pair(&ends[0], &ends[1]);
		for (int step = 0; step < 60; step++) {
			struct end *e = &ends[random() % 2];
			long what = random() % 100;
			ssize_t n = 0;

			if (what < 50 && !e->shut) {
				n = send(e->fd, bytes, 1 + (size_t)random() % sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
				e->wrote += n > 0 ? n : 0;
			} else if (what < 97) {
				n = recv(e->fd, bytes, 1 + (size_t)random() % sizeof bytes, MSG_DONTWAIT);
				e->took += n > 0 ? n : 0;
			} else if (!e->shut) {
				shutdown(e->fd, SHUT_WR);
				e->shut = true;
			}
			expect(&ends[0]);
			expect(&ends[1]);
		}
		close(ends[0].fd);
		close(ends[1].fd);
	}
}

static void a_fin_is_clean_and_a_reset_is_not(void **state)
{
	struct end ours, peer;
	int error;

	(void)state;
	connect_pair(&ours, &peer);
	assert_int_equal(send(peer.fd, "abc", 3, 0), 3);
	close(peer.fd);
	readable(ours.fd);
	assert_true(books_end_is_clean(ours.fd, &error) || recv(ours.fd, bytes, 3, MSG_PEEK) == 3);
	assert_int_equal(recv(ours.fd, bytes, sizeof bytes, MSG_WAITALL), 3);
	assert_true(books_end_is_clean(ours.fd, &error));
	assert_int_equal(error, 0);
	close(ours.fd);

	connect_pair(&ours, &peer);
	assert_int_equal(send(peer.fd, "abc", 3, 0), 3);
	socket_arm_reset(peer.fd);
	close(peer.fd);
	readable(ours.fd);
	assert_int_equal(recv(ours.fd, bytes, sizeof bytes, 0), 3);
	assert_false(books_end_is_clean(ours.fd, &error));
	assert_int_equal(error, ECONNRESET);                        /* asking took the errno away … */
	assert_int_equal(recv(ours.fd, bytes, sizeof bytes, 0), 0); /* … so that recv says what it says at a clean end */
	assert_false(books_end_is_clean(ours.fd, &error));
	assert_int_equal(error, 0);
	close(ours.fd);
}

static void a_reset_after_both_fins_keeps_the_first_word(void **state)
{
	struct end ours, peer;
	struct books b;
	int error;

	(void)state;
	connect_pair(&ours, &peer);
	assert_int_equal(send(peer.fd, bytes, 1000, 0), 1000);
	shutdown(peer.fd, SHUT_WR);
	shutdown(ours.fd, SHUT_WR);
	readable(peer.fd);
	assert_int_equal(recv(peer.fd, bytes, 10, 0), 0);
	/* Both FINs are exchanged: the state is CLOSE, with bytes unread. */
	assert_int_equal(books_read(ours.fd, BOOKS_SHUT, &b), 0);
	assert_true(b.fin_received);
	assert_true(b.fin_acked);
	assert_int_equal(b.received, 1000);
	assert_int_equal(b.taken, 0);
	assert_true(books_end_is_clean(ours.fd, &error));
	assert_int_equal(recv(ours.fd, bytes, sizeof bytes, 0), 1000);
	assert_true(books_end_is_clean(ours.fd, &error));
	close(ours.fd);
	close(peer.fd);
}

static void what_was_not_acknowledged_is_known_after_a_reset(void **state)
{
	struct end ours, peer;
	struct books b;
	int64_t wrote = 0;
	ssize_t n;

	(void)state;
	connect_pair(&ours, &peer);
	while ((n = send(ours.fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		wrote += n;
	socket_arm_reset(peer.fd);
	close(peer.fd);
	readable(ours.fd);
	assert_int_equal(books_read(ours.fd, 0, &b), 0);
	assert_int_equal(b.given - 1, wrote);
	assert_true(b.acked - 1 < wrote);
	assert_int_equal(b.state, 7);
	close(ours.fd);
}

static void the_mark_of_a_listed_session(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_false(socket_is_armed(fd));
	socket_arm_reset(fd);
	assert_true(socket_is_armed(fd));
	socket_disarm_reset(fd);
	assert_false(socket_is_armed(fd));
	assert_int_equal(socket_family(fd), AF_INET);
	close(fd);
}

static void an_option_that_fails_is_named(void **state)
{
	struct side_policy policy = {.keepalive_idle_s = 40000, .keepalive_interval_s = 1, .keepalive_count = 1};
	const char *option = "";
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(socket_apply(fd, AF_INET, &policy, &option), -EINVAL);
	assert_string_equal(option, "TCP_KEEPIDLE");
	policy.keepalive_idle_s = 30;
	assert_int_equal(socket_apply(fd, AF_INET, &policy, &option), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_is_in_the_books),
		cmocka_unit_test(a_fin_is_clean_and_a_reset_is_not),
		cmocka_unit_test(a_reset_after_both_fins_keeps_the_first_word),
		cmocka_unit_test(what_was_not_acknowledged_is_known_after_a_reset),
		cmocka_unit_test(the_mark_of_a_listed_session),
		cmocka_unit_test(an_option_that_fails_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
