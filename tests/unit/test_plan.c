#include "wire/census.h"
#include "wire/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Two services, three backends (one of whose names does not resolve), three addresses, three listeners. */
struct parts {
	struct plan_service services[2];
	struct plan_backend backends[3];
	struct plan_address addresses[3];
	struct plan_listener listeners[3];
	struct plan_source source;
};

static void fill_service(struct plan_service *s, const char *name, uint32_t id, uint32_t first, uint32_t count)
{
	strcpy(s->name, name);
	s->id = id;
	s->first_backend = first;
	s->backend_count = count;
	s->balance = BALANCE_FAILOVER;
	s->policy.side[SIDE_BACKEND].connect_timeout_ms = 5000;
	for (int side = 0; side < SIDES; side++) {
		s->policy.side[side].keepalive_idle_s = 30;
		s->policy.side[side].keepalive_interval_s = 10;
		s->policy.side[side].keepalive_count = 3;
	}
}

static int make(void **state)
{
	static struct parts p;

	memset(&p, 0, sizeof p);
	fill_service(&p.services[0], "plc", 1, 0, 2);
	fill_service(&p.services[1], "vpn", 2, 2, 1);
	p.services[0].reject_message = (struct plan_text){0, 6};
	strcpy(p.backends[0].address, "plc-a.lan:502");
	p.backends[0].id = 1;
	p.backends[0].address_count = 2;
	strcpy(p.backends[1].address, "plc-b.lan:502");
	p.backends[1].id = 2;
	p.backends[1].first_address = 2;
	strcpy(p.backends[2].address, "unix:/run/vpn");
	p.backends[2].id = 3;
	p.backends[2].first_address = 2;
	p.backends[2].address_count = 1;
	p.addresses[0].to.ss_family = AF_INET;
	p.addresses[0].length = sizeof(struct sockaddr_in);
	p.addresses[1].to.ss_family = AF_INET6;
	p.addresses[1].length = sizeof(struct sockaddr_in6);
	p.addresses[2].to.ss_family = AF_UNIX;
	p.addresses[2].length = 2 + sizeof "/run/vpn";
	for (uint32_t i = 0; i < 3; i++)
		p.listeners[i] = (struct plan_listener){.id = 10 + i, .service = i / 2};
	p.source = (struct plan_source){.generation = 1,
		.sessions_max = 100,
		.relays = 2,
		.services = p.services,
		.backends = p.backends,
		.addresses = p.addresses,
		.listeners = p.listeners,
		.text = "busy\r\n",
		.service_count = 2,
		.backend_count = 3,
		.address_count = 3,
		.listener_count = 3,
		.text_size = 6};
	*state = &p;
	return 0;
}

static void test_round_trip(void **state)
{
	struct parts *p = *state;
	struct plan plan;
	int fd = plan_create(&p->source);

	assert_true(fd >= 0);
	assert_int_equal(plan_map(&plan, fd), 0);
	close(fd);
	assert_int_equal(plan.header->generation, 1);
	assert_int_equal(plan.header->service_count, 2);
	assert_memory_equal(plan.services, p->services, sizeof p->services);
	assert_memory_equal(plan.backends, p->backends, sizeof p->backends);
	assert_memory_equal(plan.addresses, p->addresses, sizeof p->addresses);
	assert_memory_equal(plan.listeners, p->listeners, sizeof p->listeners);
	assert_memory_equal(plan.text + plan.services[0].reject_message.offset, "busy\r\n", 6);
	plan_unmap(&plan);
	plan_unmap(&plan);
}

static void test_look_up(void **state)
{
	struct parts *p = *state;
	struct plan plan, none = {0};
	int fd = plan_create(&p->source);

	assert_int_equal(plan_map(&plan, fd), 0);
	close(fd);
	assert_string_equal(plan_service_of_listener(&plan, 11)->name, "plc");
	assert_string_equal(plan_service_of_listener(&plan, 12)->name, "vpn");
	assert_null(plan_service_of_listener(&plan, 13));
	assert_string_equal(plan_service_by_id(&plan, 2)->name, "vpn");
	assert_null(plan_service_by_id(&plan, 3));
	assert_int_equal(plan_service_by_name(&plan, "vpn")->id, 2);
	assert_null(plan_service_by_name(&plan, "vp"));
	assert_null(plan_service_by_name(&none, "vpn"));
	assert_null(plan_service_by_id(&none, 1));
	assert_null(plan_service_of_listener(&none, 10));
	plan_unmap(&plan);
}

static void test_empty(void **state)
{
	struct plan_source source = {.generation = 7};
	struct plan plan;
	int fd = plan_create(&source);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(plan_map(&plan, fd), 0);
	close(fd);
	assert_null(plan_service_by_id(&plan, 1));
	plan_unmap(&plan);
}

static void test_nobody_can_change_it(void **state)
{
	struct parts *p = *state;
	int fd = plan_create(&p->source);

	assert_true(fd >= 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

/* Each of these would lead its user out of the table, or to a wrong system call. */
#define REFUSED(p, what)                                                                                                         \
	do {                                                                                                                     \
		make((void **)&(p));                                                                                             \
		what;                                                                                                            \
		assert_int_equal(plan_create(&(p)->source), -EINVAL);                                                            \
	} while (0)

static void test_out_of_range(void **state)
{
	struct parts *p = *state;

	REFUSED(p, p->source.generation = 0);
	REFUSED(p, p->services[0].id = 0);
	REFUSED(p, p->services[0].id = CENSUS_SERVICES);
	REFUSED(p, p->services[0].name[0] = '\0');
	REFUSED(p, memset(p->services[0].name, 'x', SERVICE_NAME_SIZE));
	REFUSED(p, p->services[1].backend_count = 2);
	REFUSED(p, p->services[1].first_backend = 4);
	REFUSED(p, p->services[1].first_backend = UINT32_MAX);
	REFUSED(p, p->services[0].reject_message.length = 7);
	REFUSED(p, p->services[0].reject_message.offset = UINT32_MAX);
	REFUSED(p, p->services[0].balance = 99);
	REFUSED(p, p->services[0].policy.on_failure = 99);
	REFUSED(p, p->services[0].policy.on_connect_failure = 99);
	REFUSED(p, p->services[0].policy.on_policy_end = 99);
	REFUSED(p, p->services[0].policy.on_backend_gone = 99);
	REFUSED(p, p->services[0].drained = 2);
	REFUSED(p, p->backends[0].drained = 2);
	REFUSED(p, p->services[0].policy.side[SIDE_CLIENT].linger = 99);
	REFUSED(p, p->services[0].policy.side[SIDE_CLIENT].keepalive_idle_s = 32768);
	REFUSED(p, p->services[0].policy.side[SIDE_CLIENT].keepalive_interval_s = 0);
	REFUSED(p, p->services[0].policy.side[SIDE_BACKEND].keepalive_count = 128);
	REFUSED(p, p->services[0].policy.side[SIDE_BACKEND].connect_timeout_ms = 0);
	REFUSED(p, p->backends[0].id = CENSUS_BACKENDS);
	REFUSED(p, p->backends[0].address_count = 4);
	REFUSED(p, p->backends[0].address[0] = '\0');
	REFUSED(p, memset(p->backends[0].address, 'x', ADDRESS_TEXT_SIZE));
	REFUSED(p, p->addresses[0].to.ss_family = AF_NETLINK);
	REFUSED(p, p->addresses[0].length = 200);
	REFUSED(p, p->addresses[2].length = 111);
	REFUSED(p, p->listeners[0].service = 2);
	REFUSED(p, p->source.service_count = UINT32_MAX);
}

static int forged(const void *bytes, size_t size, int seals)
{
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* A relay checks what it maps; so does the next steward. */
static void test_forged(void **state)
{
	struct parts *p = *state;
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	static char copy[65536];
	struct plan_header *header = (void *)copy;
	struct plan plan;
	size_t size;
	int fd = plan_create(&p->source);

	size = (size_t)pread(fd, copy, sizeof copy, 0);
	close(fd);
	assert_true(size > sizeof *header && size < sizeof copy);

	fd = forged(copy, size, seals);
	assert_int_equal(plan_map(&plan, fd), 0);
	plan_unmap(&plan);
	close(fd);
	fd = forged(copy, size, F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(plan_map(&plan, fd), -EPERM);
	close(fd);
	for (size_t cut = 1; cut < size; cut = cut * 3) {
		fd = forged(copy, size - cut, seals);
		assert_true(plan_map(&plan, fd) < 0);
		close(fd);
	}
	header->version++;
	fd = forged(copy, size, seals);
	assert_int_equal(plan_map(&plan, fd), -EPROTO);
	close(fd);
	header->version--;
	header->services_offset = UINT64_MAX;
	fd = forged(copy, size, seals);
	assert_int_equal(plan_map(&plan, fd), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, make),
		cmocka_unit_test_setup(test_look_up, make),
		cmocka_unit_test(test_empty),
		cmocka_unit_test_setup(test_nobody_can_change_it, make),
		cmocka_unit_test_setup(test_out_of_range, make),
		cmocka_unit_test_setup(test_forged, make),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
