#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const message_set ALL = ~(message_set)0;

static int make(void **state)
{
	static int ends[2];

	assert_int_equal(message_channel(ends), 0);
	*state = ends;
	return 0;
}

static int drop(void **state)
{
	int *ends = *state;

	close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
	return 0;
}

/* How many descriptors this process has: none may be left behind. */
static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(message_name(MESSAGE_SETTINGS), "SETTINGS");
	assert_string_equal(message_name(MESSAGE_DRAIN), "DRAIN");
	assert_string_equal(message_name(MESSAGE_KINDS), "?");
	assert_string_equal(message_name(UINT32_MAX), "?");
}

static void test_channel_closes_on_exec_and_never_blocks(void **state)
{
	int *ends = *state;
	struct message message;

	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
	}
	assert_int_equal(message_receive(ends[0], &message, ALL), 0);
}

/* Each kind goes over with its body and as many descriptors as it carries. */
static void test_every_kind(void **state)
{
	static const struct {
		int fds;
	} kinds[] = {{0},
#define M(NAME, member, count, asks) {count},
		MESSAGES(M)
#undef M
	};
	int *ends = *state, before = open_descriptors();
	union message_body body;
	struct message message;

	memset(&body, 0x5a, sizeof body);
	for (unsigned kind = 1; kind < MESSAGE_KINDS; kind++) {
		int fds[MESSAGE_FDS_MAX] = {STDIN_FILENO, STDERR_FILENO};

		assert_int_equal(message_send(ends[0], (enum message_kind)kind, &body, fds), 0);
		assert_int_equal(message_receive(ends[1], &message, message_bit((enum message_kind)kind)), 1);
		assert_int_equal(message.header.kind, kind);
		assert_int_equal(((unsigned char *)&message.body)[0], 0x5a);
		for (int i = 0; i < MESSAGE_FDS_MAX; i++) {
			assert_true((message.fds[i] >= 0) == (i < kinds[kind].fds));
			if (message.fds[i] >= 0)
				assert_true(fcntl(message.fds[i], F_GETFD) & FD_CLOEXEC);
		}
		message_close_fds(&message);
		message_close_fds(&message);
	}
	assert_int_equal(open_descriptors(), before);
}

static void test_order_and_boundaries(void **state)
{
	int *ends = *state;
	struct message message;

	for (uint32_t n = 1; n <= 20; n++) {
		struct message_generation body = {n};

		assert_int_equal(message_send(ends[0], MESSAGE_PLAN_TAKEN, &body, NULL), 0);
		assert_int_equal(message_send(ends[0], MESSAGE_EVENTS, NULL, NULL), 0);
	}
	for (uint32_t n = 1; n <= 20; n++) {
		assert_int_equal(message_receive(ends[1], &message, ALL), 1);
		assert_int_equal(message.body.generation.generation, n);
		assert_int_equal(message_receive(ends[1], &message, ALL), 1);
		assert_int_equal(message.header.kind, MESSAGE_EVENTS);
	}
	assert_int_equal(message_receive(ends[1], &message, ALL), 0);
}

static void test_not_permitted_now(void **state)
{
	int *ends = *state, before = open_descriptors();
	struct message_session body = {.id = 5};
	struct message message;
	int fd = STDIN_FILENO;

	assert_int_equal(message_send(ends[0], MESSAGE_ACQUIRE, &body, &fd), 0);
	assert_int_equal(message_receive(ends[1], &message, ALL & ~message_bit(MESSAGE_ACQUIRE)), -EBADMSG);
	assert_int_equal(message.header.kind, MESSAGE_ACQUIRE);
	assert_int_equal(message.fds[0], -1);
	assert_int_equal(open_descriptors(), before);
	/* What follows is whole again. */
	assert_int_equal(message_send(ends[0], MESSAGE_EVENTS, NULL, NULL), 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), 1);
}

static void send_raw(int channel, const void *data, size_t size, int fd_count)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)data, size};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
		memset(CMSG_DATA(c), 0, (size_t)fd_count * sizeof(int)); /* descriptor 0, so many times */
	}
	assert_int_equal(sendmsg(channel, &msg, 0), size);
}

/* What a taken relay might say. Nothing of it may leave a descriptor behind. */
static void test_malformed(void **state)
{
	int *ends = *state, before = open_descriptors();
	struct {
		struct message_header header;
		union message_body body;
		char more[64];
	} packet = {.header = {.version = MESSAGE_VERSION, .kind = MESSAGE_EVENTS}};
	size_t whole = sizeof packet.header + sizeof(struct message_none);
	struct message message;

	send_raw(ends[0], &packet, whole, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), 1);
	send_raw(ends[0], &packet, 1, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	send_raw(ends[0], &packet, sizeof packet.header, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	send_raw(ends[0], &packet, whole + 1, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	send_raw(ends[0], &packet, sizeof packet, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	for (int count = 1; count <= 8; count++) {
		send_raw(ends[0], &packet, whole, count);
		assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
		assert_int_equal(open_descriptors(), before);
	}
	packet.header.version++;
	send_raw(ends[0], &packet, whole, 0);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	packet.header.version--;
	for (unsigned kind = 0; kind <= UINT16_MAX; kind += kind ? UINT16_MAX - MESSAGE_KINDS : MESSAGE_KINDS) {
		packet.header.kind = (uint16_t)kind;
		send_raw(ends[0], &packet, whole, 0);
		assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG);
	}
	assert_int_equal(open_descriptors(), before);
}

/* An empty packet looks like the end of the channel to recvmsg, but may carry descriptors. */
static void test_empty_packet_is_no_end(void **state)
{
	int *ends = *state, before = open_descriptors();
	struct message message;

	send_raw(ends[0], "", 0, 2);
	assert_int_equal(message_receive(ends[1], &message, ALL), -EBADMSG); /* the channel has not ended */
	assert_int_equal(message.fds[0], -1);
	assert_int_equal(open_descriptors(), before);
}

static void test_listener_behind(void **state)
{
	int *ends = *state, r, sent = 0;
	struct message_outcome body = {0};
	struct message message;

	while ((r = message_send(ends[0], MESSAGE_STATUS, &body, NULL)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 3);
	while (message_receive(ends[1], &message, ALL) == 1)
		sent--;
	assert_int_equal(sent, 0);
	assert_int_equal(message_send(ends[0], MESSAGE_STATUS, &body, NULL), 0);
}

static void test_drain(void **state)
{
	int *ends = *state, before = open_descriptors(), fd = STDIN_FILENO;
	struct message_session body = {.id = 5};
	struct message message;

	for (int i = 0; i < 5; i++)
		assert_int_equal(message_send(ends[0], MESSAGE_ACQUIRE, &body, &fd), 0);
	send_raw(ends[0], "x", 1, 1);
	assert_int_equal(message_send(ends[0], MESSAGE_EVENTS, NULL, NULL), 0);
	message_drain(ends[1]);
	assert_int_equal(message_receive(ends[1], &message, ALL), 0);
	assert_int_equal(open_descriptors(), before);
}

static void test_closed(void **state)
{
	int *ends = *state;
	struct message message;

	assert_int_equal(message_send(ends[1], MESSAGE_EVENTS, NULL, NULL), 0);
	close(ends[1]);
	ends[1] = -1;
	assert_int_equal(message_receive(ends[0], &message, ALL), 1);
	assert_int_equal(message_receive(ends[0], &message, ALL), -ECONNRESET);
	message_drain(ends[0]);
	assert_true(message_send(ends[0], MESSAGE_EVENTS, NULL, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_channel_closes_on_exec_and_never_blocks, make, drop),
		cmocka_unit_test_setup_teardown(test_every_kind, make, drop),
		cmocka_unit_test_setup_teardown(test_order_and_boundaries, make, drop),
		cmocka_unit_test_setup_teardown(test_not_permitted_now, make, drop),
		cmocka_unit_test_setup_teardown(test_malformed, make, drop),
		cmocka_unit_test_setup_teardown(test_empty_packet_is_no_end, make, drop),
		cmocka_unit_test_setup_teardown(test_listener_behind, make, drop),
		cmocka_unit_test_setup_teardown(test_drain, make, drop),
		cmocka_unit_test_setup_teardown(test_closed, make, drop),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
