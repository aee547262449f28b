#include "wire/census.h"
#include "wire/census_clients.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SERVICE = 7, BACKEND = 9, LIMIT = 100, SLOTS = 4 };

static int make(void **state)
{
	static struct census *census;
	int fd = census_create(42, SLOTS);

	assert_true(fd >= 0);
	census = census_map(fd, NULL);
	assert_non_null(census);
	close(fd);
	*state = census;
	return 0;
}

static int drop(void **state)
{
	struct census *census = *state;

	munmap(census, census->size);
	return 0;
}

static void test_new_is_empty(void **state)
{
	struct census *census = *state;

	assert_true(census->tree == 42);
	assert_int_equal(census->version, CENSUS_VERSION);
	for (uint32_t i = 0; i < CENSUS_SERVICES; i++)
		assert_int_equal(census_service_total(census, i), 0);
}

static void test_total_is_the_sum_of_the_rows(void **state)
{
	struct census *census = *state;

	assert_int_equal(census_enter_service(census, 0, SERVICE, 0), 0);
	assert_int_equal(census_enter_service(census, CENSUS_RELAYS - 1, SERVICE, 0), 0);
	census_enter_backend(census, 3, BACKEND);
	assert_int_equal(census_service_total(census, SERVICE), 2);
	assert_int_equal(census_service_total(census, SERVICE + 1), 0);
	assert_int_equal(census_backend_total(census, BACKEND), 1);
	census_leave_service(census, 0, SERVICE);
	census_leave_backend(census, 3, BACKEND);
	assert_int_equal(census_service_total(census, SERVICE), 1);
	assert_int_equal(census_backend_total(census, BACKEND), 0);
}

static void test_limit_counts_all_relays(void **state)
{
	struct census *census = *state;

	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(census_enter_service(census, i, SERVICE, 3), 0);
	assert_int_equal(census_enter_service(census, 0, SERVICE, 3), -EDQUOT);
	assert_int_equal(census_enter_service(census, 9, SERVICE, 3), -EDQUOT);
	assert_int_equal(census_service_total(census, SERVICE), 3);
	census_leave_service(census, 1, SERVICE);
	assert_int_equal(census_enter_service(census, 9, SERVICE, 3), 0);
}

/* A relay that starts counts its own sessions anew, and no other's. */
static void test_set_row(void **state)
{
	struct census *census = *state;
	static struct census_count count;

	census_enter_service(census, 1, SERVICE, 0);
	census_enter_service(census, 2, SERVICE, 0);
	census_enter_backend(census, 1, BACKEND);
	count.service[SERVICE] = 3;
	count.service[SERVICE + 1] = 1;
	census_set_row(census, 1, &count);
	assert_int_equal(census_service_total(census, SERVICE), 4);
	assert_int_equal(census_service_total(census, SERVICE + 1), 1);
	assert_int_equal(census_backend_total(census, BACKEND), 0);
}

/* Relays race for the last places; whoever reads the total sees it above the limit only for those on their way out again. */
static void test_never_above_the_limit(void **state)
{
	struct census *census = *state;
	pid_t relay[4];

	for (uint32_t i = 0; i < 4; i++) {
		relay[i] = fork();
		assert_true(relay[i] >= 0);
		if (relay[i] == 0) {
			uint32_t mine = 0;

			for (int n = 0; n < 20000; n++) {
				if (census_enter_service(census, i, SERVICE, LIMIT) == 0)
					mine++;
				if (mine > LIMIT || atomic_load(&census->row[i].service[SERVICE]) != mine)
					_exit(1);
				if (mine && n % 3 == 0) {
					census_leave_service(census, i, SERVICE);
					mine--;
				}
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status;

		assert_int_equal(waitpid(relay[i], &status, 0), relay[i]);
		assert_int_equal(status, 0);
	}
	assert_true(census_service_total(census, SERVICE) <= LIMIT);
	assert_true(census_service_total(census, SERVICE) > 0);
}

/* Both parts are of one memory. */
static void test_the_second_part_is_for_clients(void **state)
{
	int fd = census_create(42, SLOTS);
	struct census_clients clients;
	struct census *census = census_map(fd, &clients);
	struct endpoint client = {.family = AF_INET, .ip = {10, 0, 0, 1}};

	(void)state;
	assert_non_null(census);
	census_clients_recount(&clients, CENSUS_RELAYS - 1);
	census_clients_publish(&clients);
	assert_int_equal(census_clients_enter(&clients, SERVICE, &client, 1), 0);
	assert_int_equal(census_service_total(census, SERVICE), 0);
	munmap(census, census->size);
	census = census_map(fd, &clients);
	assert_non_null(census);
	assert_int_equal(census_clients_total(&clients, SERVICE, &client), 1);
	munmap(census, census->size);
	close(fd);
}

static void test_strange_memory_is_refused(void **state)
{
	int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct census header = {.magic = CENSUS_MAGIC, .version = CENSUS_VERSION, .size = 16 << 20};

	(void)state;
	assert_null(census_map(fd, NULL));
	assert_int_equal(ftruncate(fd, (off_t)header.size), 0);
	assert_null(census_map(fd, NULL)); /* not sealed */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_null(census_map(fd, NULL));
	assert_int_equal(errno, EPROTO);
	/* Ours by its header, but with no room for whole tables. */
	assert_int_equal(pwrite(fd, &header, offsetof(struct census, row), 0), offsetof(struct census, row));
	assert_null(census_map(fd, NULL));
	assert_int_equal(errno, EPROTO);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_is_empty, make, drop),
		cmocka_unit_test_setup_teardown(test_total_is_the_sum_of_the_rows, make, drop),
		cmocka_unit_test_setup_teardown(test_limit_counts_all_relays, make, drop),
		cmocka_unit_test_setup_teardown(test_set_row, make, drop),
		cmocka_unit_test_setup_teardown(test_never_above_the_limit, make, drop),
		cmocka_unit_test(test_the_second_part_is_for_clients),
		cmocka_unit_test(test_strange_memory_is_refused),
	};

	return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
