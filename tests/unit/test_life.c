/* The table of a lease's life: every state is reached and left, every event is of use, and what is no move is told and not made.
 */
#include "quiet_log.h"
#include "steward/lease/lease.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Tests of leases that bring their own config do without the parser; so does this. */
const struct service_config *config_service(const struct config *config, const char *name)
{
	(void)config, (void)name;
	return NULL;
}

static void states_are_reached_and_left(void **state)
{
	(void)state;
	bool reached[LEASE_STATES] = {[LEASE_NEW] = true}, ends[LEASE_STATES] = {[LEASE_GONE] = true};
	for (int round = 0; round < LEASE_STATES; round++)
		for (enum lease_state from = 0; from < LEASE_STATES; from++)
			for (enum lease_event event = 0; event < LEASE_EVENTS; event++) {
				enum lease_state to = life_next(from, event);
				if (to == LEASE_STATES)
					continue;
				reached[to] = reached[to] || reached[from];
				ends[from] = ends[from] || ends[to];
			}
	for (enum lease_state each = 0; each < LEASE_STATES; each++) {
		assert_true(reached[each]);
		assert_true(ends[each]);
		assert_int_equal(life_state_of(life_state_word(each)), each);
	}
	assert_int_equal(life_state_of("odd"), LEASE_STATES);
}

static void events_are_of_use(void **state)
{
	(void)state;
	for (enum lease_event event = 0; event < LEASE_EVENTS; event++) {
		int moves = 0;
		for (enum lease_state from = 0; from < LEASE_STATES; from++)
			moves += life_next(from, event) != LEASE_STATES;
		assert_true(moves > 0);
		assert_int_equal(life_next(LEASE_GONE, event), LEASE_STATES);
	}
}

/* What may have been taken is given back: from there no move leads past the release, if there is one to run. */
static void no_way_past_release(void **state)
{
	(void)state;
	static const enum lease_state taken[] = {LEASE_HELD, LEASE_UNKNOWN, LEASE_RELEASING, LEASE_FAILED};
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		for (enum lease_event event = 0; event < LEASE_EVENTS; event++)
			if (life_next(taken[i], event) == LEASE_GONE)
				assert_true(event == LEASE_EVENT_RELEASED || event == LEASE_EVENT_NOTHING_TO_GIVE ||
					    (event == LEASE_EVENT_WITHDRAWN && taken[i] == LEASE_HELD));
	assert_true(life_permits(LEASE_RELEASING, LEASE_EFFECT_RELEASE_RUNS));
	assert_false(life_permits(LEASE_HELD, LEASE_EFFECT_RELEASE_RUNS));
	assert_false(life_permits(LEASE_RELEASING, LEASE_EFFECT_ACQUIRE_RUNS));
}

/* quiet_log.c ends the process at such a line. */
static int end_of_move(enum lease_state from, enum lease_event event)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct lease lease = {.record.state = from};
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		lease_move(&lease, event);
		_exit(lease.record.state == life_next(from, event) ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void setter(void **state)
{
	(void)state;
	assert_int_equal(end_of_move(LEASE_INTENT, LEASE_EVENT_ACQUIRED), 0);
	assert_int_equal(end_of_move(LEASE_RELEASING, LEASE_EVENT_ACQUIRED), -SIGABRT);
	assert_int_equal(end_of_move(LEASE_HELD, LEASE_EVENT_RELEASED), -SIGABRT);
	struct lease lease = {.record.state = LEASE_INTENT};
	lease_move(&lease, LEASE_EVENT_CUT_OFF);
	assert_true(lease.record.unknown);
	lease_move(&lease, LEASE_EVENT_OVER);
	assert_true(lease.record.unknown); /* release is told so */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_reached_and_left),
		cmocka_unit_test(events_are_of_use),
		cmocka_unit_test(no_way_past_release),
		cmocka_unit_test(setter),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	quiet_log_clear();
	return failed;
}
