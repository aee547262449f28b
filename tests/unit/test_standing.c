#include "relay/standing.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* One service of three backends: with two addresses, with none, and a unix socket. A session is connected to the first's second.
 */
struct bench {
	struct plan_header header;
	struct plan_service service;
	struct plan_backend backends[3];
	struct plan_address addresses[3];
	struct plan plan;
	struct slot slot;
};

static struct plan_address at(uint32_t ip, uint16_t port)
{
	struct plan_address a = {.length = sizeof(struct sockaddr_in)};
	struct sockaddr_in *in = (struct sockaddr_in *)&a.to;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(ip);
	in->sin_port = htons(port);
	return a;
}

static int make(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof b);
	b.service = (struct plan_service){.name = "plc", .id = 1, .backend_count = 3};
	b.backends[0] = (struct plan_backend){.id = 1, .address_count = 2};
	b.backends[1] = (struct plan_backend){.id = 2, .first_address = 2};
	b.backends[2] = (struct plan_backend){.id = 3, .first_address = 2, .address_count = 1};
	b.addresses[0] = at(0x0a000001, 502);
	b.addresses[1] = at(0x0a000002, 502);
	b.addresses[2].to.ss_family = AF_UNIX;
	b.header.service_count = 1;
	b.plan = (struct plan){.header = &b.header, .services = &b.service, .backends = b.backends, .addresses = b.addresses};
	b.slot.record.backend_id = 1;
	endpoint_from_sockaddr(&b.slot.record.backend, &b.addresses[1].to);
	*state = &b;
	return 0;
}

static enum standing standing(const struct bench *b)
{
	return standing_of(&b->plan, &b->service, &b->slot);
}

static void in_use(void **state)
{
	struct bench *b = *state;

	assert_int_equal(standing(b), STANDING_GOOD);
	b->slot.record.backend_id = 77; /* it had another number once: the address is the same */
	assert_int_equal(standing(b), STANDING_GOOD);
}

static void service_out_of_use(void **state)
{
	struct bench *b = *state;

	assert_int_equal(standing_of(&b->plan, NULL, &b->slot), STANDING_SERVICE_REMOVED);
	b->service.drained = 1;
	assert_int_equal(standing(b), STANDING_SERVICE_DRAINED);
}

static void backend_removed(void **state)
{
	struct bench *b = *state;

	b->service.first_backend = 1;
	b->service.backend_count = 2;
	assert_int_equal(standing(b), STANDING_BACKEND_GONE);
}

static void name_has_other_addresses(void **state)
{
	struct bench *b = *state;

	b->backends[0].address_count = 1;
	assert_int_equal(standing(b), STANDING_BACKEND_GONE);
	b->backends[1].address_count = 1;
	b->addresses[2] = at(0x0a000002, 502); /* another backend has it now */
	assert_int_equal(standing(b), STANDING_GOOD);
	b->addresses[2] = at(0x0a000002, 503);
	assert_int_equal(standing(b), STANDING_BACKEND_GONE);
}

static void name_of_which_nothing_is_known(void **state)
{
	struct bench *b = *state;

	b->backends[0].address_count = 0;
	assert_int_equal(standing(b), STANDING_GOOD);
	b->backends[0].drained = 1;
	assert_int_equal(standing(b), STANDING_BACKEND_DRAINED);
}

static void unix_socket(void **state)
{
	struct bench *b = *state;

	b->slot.record.backend_id = 3;
	endpoint_from_sockaddr(&b->slot.record.backend, &b->addresses[2].to);
	assert_int_equal(standing(b), STANDING_GOOD);
	b->service.backend_count = 2;
	assert_int_equal(standing(b), STANDING_BACKEND_GONE);
}

static void where_a_hook_sent_it(void **state)
{
	struct bench *b = *state;

	b->slot.record.backend_id = 0;
	memset(&b->slot.record.backend, 1, sizeof b->slot.record.backend);
	assert_int_equal(standing(b), STANDING_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_use, make),
		cmocka_unit_test_setup(service_out_of_use, make),
		cmocka_unit_test_setup(backend_removed, make),
		cmocka_unit_test_setup(name_has_other_addresses, make),
		cmocka_unit_test_setup(name_of_which_nothing_is_known, make),
		cmocka_unit_test_setup(unix_socket, make),
		cmocka_unit_test_setup(where_a_hook_sent_it, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
