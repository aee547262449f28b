/* The promise under SIGKILL: a steward's leases (lease_driver.c) are killed at random, many times, and the journal of what the
 * hooks did is judged: exactly one release for every acquire. */
#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { KILLS = 300, LEASES_MAX = 100000 };

static char directory[] = "/tmp/lease-crash-XXXXXX";
static char driver[4096];

static pid_t start(unsigned seed, bool finish, int *ret_ready)
{
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char number[16];
		snprintf(number, sizeof number, "%u", seed);
		dup2(ready[1], STDOUT_FILENO);
		close(ready[0]);
		close(ready[1]);
		execl(driver, driver, directory, number, finish ? "finish" : NULL, NULL);
		_exit(126);
	}
	close(ready[1]);
	*ret_ready = ready[0];
	return pid;
}

static void wait_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

struct lease {
	unsigned long long id;
	int began, taken, refused, connected, renewed, release_begun, released, given, ended;
	int steward_at_begin, steward_at_release; /* which one it was, by count */
	bool told;
};
static struct lease leases[LEASES_MAX];
static size_t lease_count;

static struct lease *lease_of(unsigned long long id)
{
	for (size_t i = lease_count; i--;)
		if (leases[i].id == id)
			return &leases[i];
	assert_true(lease_count < LEASES_MAX);
	leases[lease_count].id = id;
	return &leases[lease_count++];
}

/* Whatever hooks of an earlier steward still write stands before the line with which a new one has recovered: they are ended by
 * then. */
static void judge_line(const char *line, int *steward, int *repeated)
{
	char what;
	unsigned long long id;
	if (sscanf(line, "%c %llx", &what, &id) != 2)
		fail_msg("a line that nobody writes: %s", line);
	if (what == 'S') {
		++*steward;
		return;
	}
	if (!id)
		return; /* the end of a session that never had a lease */
	struct lease *lease = lease_of(id);
	switch (what) {
	case 'A':
		lease->began++;
		lease->steward_at_begin = *steward;
		break;
	case 'a':
		lease->taken++;
		break;
	case 'x':
		lease->refused++;
		break;
	case 'G':
		lease->given++;
		break;
	case 'C':
		lease->connected++;
		break;
	case 'N':
		break;
	case 'n':
		lease->renewed++;
		break;
	case 'E':
		lease->ended++;
		break;
	case 'R':
		if (lease->released && *steward == lease->steward_at_release)
			fail_msg("%llx: released twice though no steward died between", id);
		lease->release_begun++;
		lease->steward_at_release = *steward;
		if (lease->given && !lease->ended)
			fail_msg("%llx: released while its session lived", id);
		if (lease->refused && *steward == lease->steward_at_begin)
			fail_msg("%llx: released though it was not held", id);
		if (!lease->began && !strstr(line, "unknown"))
			fail_msg("%llx: released as held, but acquire never ran", id);
		break;
	case 'r':
		*repeated += lease->released++ > 0;
		break;
	default:
		fail_msg("%llx: a hook found something wrong: %s", id, line);
	}
	if (strchr("AaxGCNn", what) && lease->release_begun)
		fail_msg("%llx: %c after its release began", id, what);
	if (lease->began > 1 || lease->connected > 1)
		fail_msg("%llx: acquired or connected twice", id);
}

static void killed_at_random(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	unsigned seed = (unsigned)time(NULL);
	srandom(seed);
	print_message("seed %u\n", seed);
	for (unsigned i = 0; i < KILLS; i++) {
		int ready;
		pid_t pid = start(seed + i, false, &ready);
		if (random() % 4) {
			/* Once it runs; the others are killed while they recover. */
			struct pollfd wait = {.fd = ready, .events = POLLIN};
			assert_int_equal(poll(&wait, 1, 20000), 1);
		}
		wait_us(random() % 40000);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		close(ready);
		if (!WIFSIGNALED(status))
			fail_msg("it ended by itself, with status %x", status);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			; /* hooks that outlived it */
	}
	int ready, status;
	pid_t pid = start(seed, true, &ready);
	alarm(120);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	alarm(0);
	close(ready);
	assert_int_equal(status, 0);
}

static void balanced(void **state)
{
	(void)state;
	char path[64], line[128];
	snprintf(path, sizeof path, "%s/journal", directory);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	int stewards = 0, repeated = 0;
	while (fgets(line, sizeof line, file))
		judge_line(line, &stewards, &repeated);
	fclose(file);

	int taken = 0, unknown = 0, refused = 0, connected = 0, renewed = 0;
	for (size_t i = 0; i < lease_count; i++) {
		const struct lease *lease = &leases[i];
		taken += lease->taken;
		refused += lease->refused;
		connected += lease->connected;
		renewed += lease->renewed;
		unknown += lease->began && !lease->taken && !lease->refused;
		if (lease->began && !lease->refused && !lease->released)
			fail_msg("%llx: never released", lease->id);
		if (lease->given && !lease->taken)
			fail_msg("%llx: told as held, but was not", lease->id);
	}
	print_message("%zu leases: %d taken, %d connected, %d renewals, %d not held, %d unknown; %d of %d stewards recovered, %d "
		      "releases repeated\n",
		lease_count, taken, connected, renewed, refused, unknown, stewards, KILLS + 1, repeated);
	assert_true(stewards > KILLS / 2);
	assert_true(taken > 20 && connected + renewed > 20);
	/* Each death can repeat what ran then (four at a time), and what had ended but was still being recorded. */
	assert_true(repeated <= 8 * stewards);
	snprintf(line, sizeof line, "rm -r %s", directory);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	char self[2048] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length <= 0)
		return 1;
	snprintf(driver, sizeof driver, "%s/lease_driver", dirname(self));
	const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_random), cmocka_unit_test(balanced)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
