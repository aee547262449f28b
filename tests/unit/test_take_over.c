#include "relay/hand_over.h"
#include "relay/take_over.h"
#include "wire/inherit.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 600 };

static int giver;
static struct stat given[MANY]; /* what was given, in order */

static bool is_among(int fd, const int32_t *numbers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] == fd)
			return true;
	return false;
}

/* The heir: a process with nothing but what it is started with. Its exit status is 0 if each stands where it was to be, and
 * nothing else between them. */
static _Noreturn void be_heir(int channel, const int32_t *numbers, uint32_t count, int want)
{
	struct inheritance inheritance;
	int former = open("/proc/self/exe", O_PATH), r;

	dup2(former, 50);
	dup2(channel, HEIR_GIVER);
	dup2(50, HEIR_FORMER);
	close_range(HEIR_FORMER + 1, ~0u, 0);
	r = take_over(&inheritance);
	if (r != want)
		_exit(1);
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		struct stat st;

		if (fstat(numbers[i], &st) < 0 || st.st_ino != given[i].st_ino || fcntl(numbers[i], F_GETFD) != 0)
			_exit(2);
	}
	for (int fd = HOLDER_INHERITED_END; r == 0 && fd < numbers[count - 1]; fd++)
		if (!is_among(fd, numbers, count) && fcntl(fd, F_GETFD) >= 0)
			_exit(4);
	if (r == 0 && (inheritance.owner != 7 || fcntl(HOLDER_FORMER, F_GETFD) < 0 || fcntl(inheritance.giver, F_GETFD) < 0))
		_exit(3);
	_exit(0);
}

static pid_t start_heir(const int32_t *numbers, uint32_t count, int want)
{
	struct hand_over_packet packet;
	int channel[2];
	pid_t pid;

	for (uint32_t i = 0; i < count; i++) {
		int fd = memfd_create("given", 0);

		fstat(fd, &given[i]);
		assert_true(fcntl(fd, F_DUPFD, 1000 + (int)i) == 1000 + (int)i);
		close(fd);
	}
	assert_int_equal(message_channel(channel), 0);
	pid = fork();
	if (pid == 0)
		be_heir(channel[1], numbers, count, want);
	close(channel[1]);
	giver = channel[0];
	assert_int_equal(hand_over_receive(giver, &packet, NULL, 10000), 0);
	assert_int_equal(packet.kind, HAND_OVER_HERE);
	return pid;
}

static void end_heir(pid_t pid, uint32_t count)
{
	int status;

	close(giver);
	waitpid(pid, &status, 0);
	for (uint32_t i = 0; i < count; i++)
		close(1000 + (int)i);
	assert_int_equal(status, 0);
}

static void say(enum hand_over_kind kind, struct hand_over_packet *packet, const int *fds)
{
	assert_int_equal(hand_over_send(giver, packet, kind, fds), 0);
}

static void give(const int32_t *numbers, uint32_t from, uint32_t count)
{
	struct hand_over_packet part = {.count = count};
	int fds[HAND_OVER_AT_ONCE];

	for (uint32_t i = 0; i < count; i++) {
		part.fds[i] = numbers[from + i];
		fds[i] = 1000 + (int)(from + i);
	}
	say(HAND_OVER_PART, &part, fds);
}

static void test_each_comes_to_its_number(void **state)
{
	struct hand_over_packet packet = {0};
	int32_t numbers[MANY];
	pid_t heir;

	(void)state;
	/* 3 to 8, then with gaps, among them those that the heir has its own at. */
	for (int i = 0; i < MANY; i++)
		numbers[i] = i < 6 ? 3 + i : i + 10 + i / 7 * 3;
	heir = start_heir(numbers, MANY, 0);
	packet.highest = (uint32_t)numbers[MANY - 1];
	say(HAND_OVER_BEGIN, &packet, NULL);
	give(numbers, 0, HAND_OVER_AT_ONCE);
	give(numbers, HAND_OVER_AT_ONCE, HAND_OVER_AT_ONCE);
	give(numbers, 2 * HAND_OVER_AT_ONCE, MANY - 2 * HAND_OVER_AT_ONCE);
	packet = (struct hand_over_packet){.owner = 7, .count = MANY};
	say(HAND_OVER_WHOLE, &packet, NULL);
	end_heir(heir, MANY);
}

static void test_what_is_not_whole_is_refused(void **state)
{
	const int32_t numbers[] = {3, 4, 5};
	struct hand_over_packet packet = {.highest = 5};
	pid_t heir = start_heir(numbers, 3, -EPROTO);

	(void)state;
	say(HAND_OVER_BEGIN, &packet, NULL);
	give(numbers, 0, 3);
	packet = (struct hand_over_packet){.owner = 7, .count = 4};
	say(HAND_OVER_WHOLE, &packet, NULL);
	end_heir(heir, 3);
}

static void test_disorder_is_refused(void **state)
{
	const int32_t numbers[] = {3, 20, 19};
	struct hand_over_packet packet = {.highest = 20};
	pid_t heir = start_heir(numbers, 3, -EPROTO);

	(void)state;
	say(HAND_OVER_BEGIN, &packet, NULL);
	give(numbers, 0, 3);
	end_heir(heir, 3);
}

static void test_another_version_is_refused(void **state)
{
	struct hand_over_packet packet = {.magic = HAND_OVER_MAGIC, .version = HAND_OVER_VERSION + 1, .kind = HAND_OVER_BEGIN};
	pid_t heir = start_heir(NULL, 0, -EPROTO);

	(void)state;
	assert_int_equal(write(giver, &packet, sizeof packet), sizeof packet);
	end_heir(heir, 0);
}

static void test_giver_that_ends_is_noticed(void **state)
{
	pid_t heir = start_heir(NULL, 0, -ECONNRESET);

	(void)state;
	end_heir(heir, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_comes_to_its_number),
		cmocka_unit_test(test_what_is_not_whole_is_refused),
		cmocka_unit_test(test_disorder_is_refused),
		cmocka_unit_test(test_another_version_is_refused),
		cmocka_unit_test(test_giver_that_ends_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
