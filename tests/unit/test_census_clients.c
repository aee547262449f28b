#include "wire/census_clients.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* The smallest table has 2,048 entries: more clients than a relay has slots make searches long, and lead them over the table's
 * end. */
enum { SLOTS = 100, ENTRIES = 2048, SERVICE = 7, LIMIT = 5 };

static void *memory;
static size_t memory_size;

/* The same in each run. */
static void hash_under(uint64_t key)
{
	struct clients_shared *shared = memory;

	shared->hash_key[0] = shared->hash_key[1] = key;
}

static struct census_clients view(void)
{
	struct census_clients c;

	assert_int_equal(census_clients_open(&c, memory, memory_size), 0);
	return c;
}

static struct census_clients as_relay(uint32_t relay)
{
	struct census_clients c = view();

	census_clients_recount(&c, relay);
	census_clients_publish(&c);
	return c;
}

static int make(void **state)
{
	(void)state;
	memory_size = census_clients_size(SLOTS);
	memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	census_clients_init(memory);
	hash_under(1);
	assert_int_equal(view().mask, ENTRIES - 1);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	munmap(memory, memory_size);
	return 0;
}

static struct endpoint client(uint32_t n)
{
	struct endpoint e = {.family = n % 2 ? AF_INET6 : AF_INET, .port = (uint16_t)rand()};

	memcpy(e.ip + (n % 2 ? 12 : 0), &n, sizeof n);
	return e;
}

static void enter(struct census_clients *c, uint32_t n)
{
	struct endpoint e = client(n);

	assert_int_equal(census_clients_enter(c, SERVICE, &e, UINT32_MAX), 0);
}

static void leave(struct census_clients *c, uint32_t n)
{
	struct endpoint e = client(n);

	census_clients_leave(c, SERVICE, &e);
}

static uint32_t total(const struct census_clients *c, uint32_t n)
{
	struct endpoint e = client(n);

	return census_clients_total(c, SERVICE, &e);
}

static void wait_for_end(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void only_a_size_of_its_own_is_opened(void **state)
{
	struct census_clients c;
	size_t table = CENSUS_RELAYS * 2 * ENTRIES * sizeof(struct client_entry);

	(void)state;
	assert_int_equal(census_clients_open(&c, memory, 0), -EPROTO);
	assert_int_equal(census_clients_open(&c, memory, memory_size - 1), -EPROTO);
	assert_int_equal(census_clients_open(&c, memory, memory_size + 1), -EPROTO);
	assert_int_equal(census_clients_open(&c, memory, memory_size + table / 2), -EPROTO); /* no power of two */
	assert_int_equal(census_clients_open(&c, memory, memory_size - table), -EPROTO);
	assert_true(census_clients_size(ENTRIES / 2) == memory_size);
	assert_true(census_clients_size(ENTRIES / 2 + 1) == memory_size + table);
}

static void a_client_is_its_address_at_a_service(void **state)
{
	struct census_clients c = as_relay(0);
	struct endpoint a = {.family = AF_INET, .port = 1, .ip = {10, 0, 0, 1}}, b = a;

	(void)state;
	assert_int_equal(census_clients_enter(&c, SERVICE, &a, 1), 0);
	b.port = 2;
	assert_int_equal(census_clients_total(&c, SERVICE, &b), 1);
	assert_int_equal(census_clients_enter(&c, SERVICE, &b, 1), -EDQUOT);
	assert_int_equal(census_clients_enter(&c, SERVICE + 1, &b, 1), 0);
	b.family = AF_INET6;
	assert_int_equal(census_clients_enter(&c, SERVICE, &b, 1), 0);
	b.scope = 3; /* the same link-local address behind another interface */
	assert_int_equal(census_clients_enter(&c, SERVICE, &b, 1), 0);
	b.ip[15] = 1;
	assert_int_equal(census_clients_enter(&c, SERVICE, &b, 1), 0);
	census_clients_leave(&c, SERVICE, &a);
	assert_int_equal(census_clients_total(&c, SERVICE, &a), 0);
	assert_int_equal(census_clients_enter(&c, SERVICE, &a, 1), 0);
}

static void the_limit_counts_all_relays(void **state)
{
	struct census_clients first = as_relay(0), last = as_relay(CENSUS_RELAYS - 1);
	struct endpoint e = client(1);

	(void)state;
	assert_int_equal(census_clients_enter(&first, SERVICE, &e, 3), 0);
	assert_int_equal(census_clients_enter(&last, SERVICE, &e, 3), 0);
	assert_int_equal(census_clients_enter(&first, SERVICE, &e, 3), 0);
	assert_int_equal(census_clients_enter(&first, SERVICE, &e, 3), -EDQUOT);
	assert_int_equal(census_clients_enter(&last, SERVICE, &e, 3), -EDQUOT);
	assert_int_equal(total(&first, 1), 3);
	census_clients_leave(&last, SERVICE, &e);
	census_clients_leave(&last, SERVICE, &e); /* it has none: nothing happens */
	assert_int_equal(total(&last, 1), 2);
	assert_int_equal(census_clients_enter(&first, SERVICE, &e, 3), 0);
}

/* Against a plain array, with more and more of the table in use, under several hash keys. */
static void it_counts_as_an_array_does(void **state)
{
	static uint32_t count[ENTRIES];
	uint32_t wrapped = 0;

	(void)state;
	for (uint32_t clients = 500; clients < ENTRIES; clients += 100) {
		struct census_clients c;

		hash_under(clients);
		c = as_relay(5);
		memset(count, 0, sizeof count);
		for (int i = 0; i < 10000; i++) {
			uint32_t n = (uint32_t)rand() % clients;

			if (count[n] && rand() % 3 == 0) {
				leave(&c, n);
				count[n]--;
			} else if (count[n] < 3) {
				enter(&c, n);
				count[n]++;
			}
			assert_int_equal(total(&c, n), count[n]);
		}
		wrapped += atomic_load(&c.own[ENTRIES - 1].count) && atomic_load(&c.own[0].count);
		for (uint32_t n = 0; n < clients; n++) {
			assert_int_equal(total(&c, n), count[n]);
			while (count[n]) {
				leave(&c, n);
				count[n]--;
			}
		}
		for (uint32_t i = 0; i < ENTRIES; i++)
			assert_int_equal(atomic_load(&c.own[i].count), 0);
	}
	assert_true(wrapped > 0);
}

/* It is full only if someone else wrote there: nobody turns in circles. */
static void a_full_table_refuses(void **state)
{
	struct census_clients c = as_relay(0);
	struct endpoint e = client(ENTRIES);

	(void)state;
	for (uint32_t n = 0; n < ENTRIES; n++)
		enter(&c, n);
	assert_int_equal(census_clients_enter(&c, SERVICE, &e, 1), -EDQUOT);
	census_clients_leave(&c, SERVICE, &e);
	assert_int_equal(census_clients_total(&c, SERVICE, &e), 0);
	leave(&c, 17);
	assert_int_equal(census_clients_enter(&c, SERVICE, &e, 1), 0);
	for (uint32_t n = 0; n < ENTRIES; n++)
		assert_int_equal(total(&c, n), n != 17);
}

/* Relays race for the last places, while other clients come and go around them. */
static void never_above_the_limit(void **state)
{
	void *at = mmap(NULL, sizeof(int32_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic int32_t *inside = at;
	struct census_clients c = view();
	pid_t relay[4];

	(void)state;
	assert_ptr_not_equal(at, MAP_FAILED);
	for (uint32_t i = 0; i < 4; i++) {
		relay[i] = fork();
		assert_true(relay[i] >= 0);
		if (relay[i] == 0) {
			struct endpoint wanted = client(0);
			bool other[ENTRIES] = {false};
			int32_t mine = 0;

			srand(i);
			c = as_relay(i);
			for (int n = 0; n < 30000; n++) {
				uint32_t o = 1 + (uint32_t)rand() % 1500;

				if (census_clients_enter(&c, SERVICE, &wanted, LIMIT) == 0) {
					mine++;
					if (atomic_fetch_add(inside, 1) >= LIMIT)
						_exit(1);
				}
				if (mine && n % 3 == 0) {
					mine--;
					atomic_fetch_sub(inside, 1);
					census_clients_leave(&c, SERVICE, &wanted);
				}
				if (other[o])
					leave(&c, o);
				else
					enter(&c, o);
				other[o] = !other[o];
			}
			_exit(mine > LIMIT);
		}
	}
	for (int i = 0; i < 4; i++)
		wait_for_end(relay[i]);
	assert_int_equal(total(&c, 0), atomic_load(inside));
	assert_in_range(atomic_load(inside), 1, LIMIT);
	munmap(at, sizeof *inside);
}

/* Of the clients below 1,500 the even ones stay, each with 1 to 3 sessions; the odd ones go. These were there first, so that who
 * stays is moved when they go. */
enum { CLIENTS = 1500, LEAVING = 20 };

static uint32_t staying(uint32_t n)
{
	return n % 2 ? 0 : 1 + n % 3;
}

static void recount(struct census_clients *c, bool odd_ones)
{
	census_clients_recount(c, 0);
	for (uint32_t n = 1; n < CLIENTS && odd_ones; n += 2) {
		struct endpoint e = client(n);

		census_clients_add(c, SERVICE, &e);
	}
	for (uint32_t n = 0; n < CLIENTS; n += 2) {
		struct endpoint e = client(n);

		for (uint32_t i = 0; i < staying(n); i++)
			census_clients_add(c, SERVICE, &e);
	}
	census_clients_publish(c);
}

/* Until it is killed. */
static _Noreturn void come_and_go(struct census_clients *c)
{
	for (;;) {
		uint32_t first = (uint32_t)rand() % (CLIENTS / 2);

		recount(c, true);
		for (uint32_t k = 0; k < CLIENTS / 2; k++)
			leave(c, (first + k * 7) % (CLIENTS / 2) * 2 + 1);
	}
}

/* How many of those who stay are not all found. */
static uint32_t missed(const struct census_clients *c)
{
	uint32_t missing = 0;

	for (uint32_t n = 0; n < CLIENTS; n += 2)
		missing += total(c, n) < staying(n);
	return missing;
}

static void who_looks_on_misses_none(void **state)
{
	struct census_clients c = view();
	uint32_t missing = 0;
	pid_t writer;

	(void)state;
	recount(&c, false);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0)
		come_and_go(&c);
	for (int i = 0; i < 5000; i++)
		missing += missed(&c);
	kill(writer, SIGKILL);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	assert_int_equal(missing, 0);
}

/* Whatever the writer was doing; and its successor counts anew while others look on. */
static void a_dead_writer_hides_none(void **state)
{
	struct census_clients c = view();

	(void)state;
	recount(&c, false);
	for (int i = 0; i < 50; i++) {
		const struct timespec while_it_works = {.tv_nsec = 100000 + rand() % 1000000};
		pid_t writer = fork();

		assert_true(writer >= 0);
		if (writer == 0) {
			srand((unsigned)i);
			come_and_go(&c);
		}
		nanosleep(&while_it_works, NULL);
		kill(writer, SIGKILL);
		assert_int_equal(waitpid(writer, NULL, 0), writer);
		assert_int_equal(missed(&c), 0);
		writer = fork();
		assert_true(writer >= 0);
		if (writer == 0) {
			struct census_clients successor = view();

			recount(&successor, false);
			_exit(0);
		}
		do
			assert_int_equal(missed(&c), 0);
		while (waitpid(writer, NULL, WNOHANG) == 0);
		for (uint32_t n = 0; n < CLIENTS; n++)
			assert_int_equal(total(&c, n), staying(n));
	}
}

/* The writer is stopped after each of its instructions, so that every state that its death could leave is looked at. */
static void no_instruction_hides_any(void **state)
{
	struct census_clients c = view();
	static struct client_entry before[ENTRIES];
	uint32_t changes = 0;
	int status;
	pid_t writer;

	(void)state;
	recount(&c, true);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		for (uint32_t n = 1; n < LEAVING; n += 2)
			leave(&c, n);
		_exit(0);
	}
	assert_int_equal(waitpid(writer, &status, 0), writer);
	while (WIFSTOPPED(status)) {
		if (memcmp(before, c.own, sizeof before) != 0) {
			assert_int_equal(missed(&c), 0);
			memcpy(before, c.own, sizeof before);
			changes++;
		}
		if (ptrace(PTRACE_SINGLESTEP, writer, NULL, NULL) < 0) { /* not every architecture can */
			kill(writer, SIGKILL);
			waitpid(writer, NULL, 0);
			skip();
		}
		assert_int_equal(waitpid(writer, &status, 0), writer);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	assert_true(changes > LEAVING); /* half as many left, and others moved for it */
	for (uint32_t n = 0; n < CLIENTS; n++)
		assert_int_equal(total(&c, n), n % 2 ? n > LEAVING : staying(n));
}

static void who_ended_for_good_is_counted_out(void **state)
{
	struct census_clients stays = as_relay(0), gone = as_relay(1), other = view();
	struct census *census = calloc(1, sizeof *census);

	(void)state;
	for (uint32_t n = 0; n < 50; n++) {
		enter(&stays, n);
		enter(&gone, n);
	}
	census_enter_service(census, 0, SERVICE, 0);
	census_enter_service(census, 1, SERVICE, 0);
	census_enter_backend(census, 1, 3);
	census_forget(census, &other, 1);
	for (uint32_t n = 0; n < 50; n++)
		assert_int_equal(total(&stays, n), 1);
	assert_int_equal(census_service_total(census, SERVICE), 1);
	assert_int_equal(census_backend_total(census, 3), 0);
	gone = as_relay(1); /* it is there again */
	enter(&gone, 1);
	assert_int_equal(total(&stays, 1), 2);
	free(census);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_a_size_of_its_own_is_opened, make, drop),
		cmocka_unit_test_setup_teardown(a_client_is_its_address_at_a_service, make, drop),
		cmocka_unit_test_setup_teardown(the_limit_counts_all_relays, make, drop),
		cmocka_unit_test_setup_teardown(it_counts_as_an_array_does, make, drop),
		cmocka_unit_test_setup_teardown(a_full_table_refuses, make, drop),
		cmocka_unit_test_setup_teardown(never_above_the_limit, make, drop),
		cmocka_unit_test_setup_teardown(who_looks_on_misses_none, make, drop),
		cmocka_unit_test_setup_teardown(a_dead_writer_hides_none, make, drop),
		cmocka_unit_test_setup_teardown(no_instruction_hides_any, make, drop),
		cmocka_unit_test_setup_teardown(who_ended_for_good_is_counted_out, make, drop),
	};

	return cmocka_run_group_tests_name("census of clients", tests, NULL, NULL);
}
