#include "steward/log/log.h"
#include "steward/plan/build.h"
#include "wire/census.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The resolver writes to the log, which is not of this test. */
void log_line(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
}

static struct config *parsed(const char *text)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;

	if (config_parse("t.conf", text, strlen(text), &config, &errors) < 0)
		fail_msg("%s", errors.lines[0]);
	return config;
}

static void on_nothing(void *context)
{
	(void)context;
}

struct bench {
	uv_loop_t loop;
	struct resolver *resolver;
	struct plan_ids *ids;
	const struct drains *drains;
	uint32_t generation;
};

static int set_up(void **state)
{
	static const struct resolver_callbacks callbacks = {on_nothing, on_nothing, on_nothing};
	struct bench *b = calloc(1, sizeof *b);

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(resolver_new(&b->loop, &callbacks, b, &b->resolver), 0);
	b->ids = plan_ids_new();
	assert_non_null(b->ids);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	resolver_stop(b->resolver);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	plan_ids_free(b->ids);
	free(b);
	return 0;
}

static struct plan built(struct bench *b, const struct config *config)
{
	struct plan plan;
	int fd;

	assert_int_equal(resolver_prepare(b->resolver, config), 0);
	fd = plan_build(config, b->drains, b->resolver, b->ids, &(struct plan_stamp){++b->generation, 7, 123456789, 5});
	assert_true(fd >= 0);
	resolver_use(b->resolver, config);
	assert_int_equal(plan_map(&plan, fd), 0);
	close(fd);
	return plan;
}

static void a_plan_says_what_the_config_says(void **state)
{
	struct bench *b = *state;
	struct config *c =
		parsed("workers = 2; limits: { connections = 500; };"
		       "services: ( { name = \"a\"; listen = [ \"127.0.0.1:5020\", \"unix:/run/a\" ]; balance = \"failover\";"
		       "  backends = [ \"127.0.0.1:502\", \"[::1]:502\", \"unix:/run/b\" ]; client: { keepalive = false; };"
		       "  limits: { connections = 3; per_client = 2; reject_message = \"busy\\r\\n\"; }; },"
		       "  { name = \"b\"; listen = \"*:5021\"; backends = \"127.0.0.1:502\"; limits: { reject_message = \"no\"; "
		       "}; } );");
	struct plan p = built(b, c);
	const struct plan_service *s = p.services;

	assert_int_equal(p.header->generation, 1);
	assert_int_equal(p.header->loads, 7);
	assert_int_equal(p.header->sessions_max, 500);
	assert_int_equal(p.header->relays, 2);
	assert_int_equal(p.header->drain_timeout_ms, 300000);
	assert_int_equal(p.header->applied, 5);
	assert_int_equal(p.header->service_count, 2);
	assert_int_equal(p.header->backend_count, 4);
	assert_int_equal(p.header->address_count, 4);
	assert_int_equal(p.header->listener_count, 3);
	assert_string_equal(s[0].name, "a");
	assert_int_equal(s[0].limit_connections, 3);
	assert_int_equal(s[0].limit_per_client, 2);
	assert_int_equal(s[0].balance, BALANCE_FAILOVER);
	assert_int_equal(s[0].backend_count, 3);
	assert_memory_equal(&s[0].policy, &c->services[0].policy, sizeof s[0].policy);
	assert_memory_equal(p.text + s[0].reject_message.offset, "busy\r\n", 6);
	assert_int_equal(s[0].reject_message.length, 6);
	assert_memory_equal(p.text + s[1].reject_message.offset, "no", 2);
	assert_int_equal(s[1].first_backend, 3);
	assert_int_equal(p.addresses[p.backends[1].first_address].to.ss_family, AF_INET6);
	assert_int_equal(p.addresses[p.backends[2].first_address].to.ss_family, AF_UNIX);
	assert_string_equal(p.backends[2].address, "unix:/run/b");
	/* the same address in two services is two backends: each is counted for itself */
	assert_string_equal(p.backends[0].address, p.backends[3].address);
	assert_int_not_equal(p.backends[0].id, p.backends[3].id);
	for (uint32_t i = 0; i < p.header->listener_count; i++) {
		uint32_t id;
		const struct address *where = i < 2 ? &c->services[0].listen[i] : &c->services[1].listen[0];
		assert_int_equal(plan_ids_listener(b->ids, where->text, &id), 0);
		assert_ptr_equal(plan_service_of_listener(&p, id), &s[i < 2 ? 0 : 1]);
	}
	plan_unmap(&p);
	config_free(c);
}

static void numbers_stay_through_reloads_and_restarts(void **state)
{
	struct bench *b = *state;
	struct config *one = parsed("services: ( { name = \"a\"; listen = \"*:1\"; backends = \"127.0.0.1:1\"; },"
				    "  { name = \"b\"; listen = \"*:2\"; backends = \"127.0.0.1:2\"; } );");
	struct config *two =
		parsed("services: ( { name = \"c\"; listen = \"*:3\"; backends = \"127.0.0.1:2\"; },"
		       "  { name = \"b\"; listen = [ \"*:4\", \"*:2\" ]; backends = [ \"127.0.0.1:3\", \"127.0.0.1:2\" ]; } );");
	struct plan p = built(b, one), q = built(b, two), again;
	uint32_t id;

	assert_int_equal(q.services[1].id, p.services[1].id);
	assert_int_equal(q.backends[2].id, p.backends[1].id);
	assert_int_equal(q.listeners[2].id, p.listeners[1].id);
	assert_int_not_equal(q.services[0].id, p.services[0].id);
	assert_int_not_equal(q.services[0].id, p.services[1].id);
	assert_int_not_equal(q.backends[0].id, p.backends[1].id);
	/* a steward that starts anew knows no more than the plan and the ledgers */
	plan_ids_free(b->ids);
	b->ids = plan_ids_new();
	assert_non_null(b->ids);
	assert_int_equal(plan_ids_seed(b->ids, &q), 0);
	for (uint32_t i = 0; i < q.header->listener_count; i++)
		assert_int_equal(plan_ids_seed_listener(b->ids, i == 0 ? "*:3" : i == 1 ? "*:4" : "*:2", q.listeners[i].id), 0);
	assert_int_equal(plan_ids_seed_listener(b->ids, "*:2", 77), -EEXIST);
	again = built(b, two);
	for (uint32_t i = 0; i < q.header->service_count; i++)
		assert_int_equal(again.services[i].id, q.services[i].id);
	for (uint32_t i = 0; i < q.header->backend_count; i++)
		assert_int_equal(again.backends[i].id, q.backends[i].id);
	for (uint32_t i = 0; i < q.header->listener_count; i++)
		assert_int_equal(again.listeners[i].id, q.listeners[i].id);
	assert_int_equal(plan_ids_listener(b->ids, "*:99", &id), 0);
	assert_int_equal(id, 78);
	plan_unmap(&p);
	plan_unmap(&q);
	plan_unmap(&again);
	config_free(one);
	config_free(two);
}

static void a_name_without_addresses_is_a_backend_without_them(void **state)
{
	struct bench *b = *state;
	struct config *c = parsed(
		"services: ( { name = \"a\"; listen = \"*:1\"; backends = [ \"[fe80::1%nosuchif]:1\", \"127.0.0.1:2\" ]; } );");
	struct plan p = built(b, c);

	assert_int_equal(p.backends[0].address_count, 0);
	assert_int_equal(p.backends[1].address_count, 1);
	plan_unmap(&p);
	config_free(c);
}

static bool all_but(void *context, enum plan_id_kind kind, uint32_t id)
{
	const uint32_t *free_id = context;

	return kind != PLAN_ID_SERVICE || id != *free_id;
}

static bool none_in_use(void *context, enum plan_id_kind kind, uint32_t id)
{
	(void)context;
	(void)kind;
	(void)id;
	return false;
}

static void numbers_are_used_again_when_nothing_has_them(void **state)
{
	struct bench *b = *state;
	struct config *c = parsed("services: ( { name = \"s5\"; listen = \"*:1\"; backends = \"127.0.0.1:1\"; } );");
	uint32_t id, first, seven, eight, backend, listener;
	char name[SERVICE_NAME_SIZE];

	for (uint32_t i = 1; i < CENSUS_SERVICES; i++) {
		snprintf(name, sizeof name, "s%u", i);
		assert_int_equal(plan_ids_service(b->ids, name, &id), 0);
		assert_int_equal(id, i);
	}
	assert_int_equal(plan_ids_service(b->ids, "new", &id), -ENOSPC);
	/* only what nothing refers to is set free */
	seven = 7;
	plan_ids_sweep(b->ids, c, all_but, &seven);
	assert_int_equal(plan_ids_service(b->ids, "new", &id), 0);
	assert_int_equal(id, 7);
	assert_int_equal(plan_ids_service(b->ids, "newer", &id), -ENOSPC);
	eight = 8;
	plan_ids_sweep(b->ids, c, all_but, &eight);
	first = 1;
	plan_ids_sweep(b->ids, c, all_but, &first);
	/* the longest free one first */
	assert_int_equal(plan_ids_service(b->ids, "newer", &id), 0);
	assert_int_equal(id, 8);
	/* what the config has stays, whatever the caller says */
	assert_int_equal(plan_ids_backend(b->ids, "s5", "127.0.0.1:1", &backend), 0);
	assert_int_equal(plan_ids_listener(b->ids, "*:1", &listener), 0);
	plan_ids_sweep(b->ids, c, none_in_use, NULL);
	assert_int_equal(plan_ids_service(b->ids, "s5", &id), 0);
	assert_int_equal(id, 5);
	assert_int_equal(plan_ids_backend(b->ids, "s5", "127.0.0.1:1", &id), 0);
	assert_int_equal(id, backend);
	assert_int_equal(plan_ids_listener(b->ids, "*:1", &id), 0);
	assert_int_equal(id, listener);
	/* an address that went away and comes back is another listener */
	assert_int_equal(plan_ids_listener(b->ids, "*:2", &listener), 0);
	plan_ids_sweep(b->ids, c, none_in_use, NULL);
	assert_int_equal(plan_ids_listener(b->ids, "*:2", &id), 0);
	assert_int_equal(id, listener + 1);
	config_free(c);
}

/* A predecessor's sessions refer to numbers that no plan names any more. */
static void reserved_numbers_are_nobodys(void **state)
{
	struct bench *b = *state;
	struct config *c = parsed("services: ( { name = \"s5\"; listen = \"*:1\"; backends = \"127.0.0.1:1\"; } );");
	uint32_t id, two = 2;

	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_SERVICE, 1), 0);
	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_SERVICE, 2), 0);
	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_BACKEND, 1), 0);
	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_SERVICE, 0), 0);
	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_SERVICE, CENSUS_SERVICES), 0);
	assert_int_equal(plan_ids_service(b->ids, "s5", &id), 0);
	assert_int_equal(id, 3);
	assert_int_equal(plan_ids_reserve(b->ids, PLAN_ID_SERVICE, 3), 0);
	assert_int_equal(plan_ids_backend(b->ids, "s5", "127.0.0.1:1", &id), 0);
	assert_int_equal(id, 2);
	plan_ids_sweep(b->ids, c, all_but, &two);
	for (uint32_t i = 4; i < CENSUS_SERVICES; i++) {
		char name[SERVICE_NAME_SIZE];

		snprintf(name, sizeof name, "t%u", i);
		assert_int_equal(plan_ids_service(b->ids, name, &id), 0);
		assert_int_equal(id, i);
	}
	assert_int_equal(plan_ids_service(b->ids, "last", &id), 0);
	assert_int_equal(id, 2);
	assert_int_equal(plan_ids_service(b->ids, "none", &id), -ENOSPC);
	config_free(c);
}

static bool used(void *context, enum plan_id_kind kind, uint32_t id)
{
	const uint32_t *in_use = context;

	return id == in_use[kind];
}

static void reloads_do_not_use_up_numbers(void **state)
{
	struct bench *b = *state;
	uint32_t old[2] = {0, 0}, first[2] = {0, 0}, id;

	for (uint32_t i = 0; i < 3000; i++) {
		char text[256], name[SERVICE_NAME_SIZE], address[ADDRESS_TEXT_SIZE];
		struct config *c;

		snprintf(name, sizeof name, "s%u", i);
		snprintf(address, sizeof address, "127.0.0.%u:%u", i % 200 + 1, i + 1);
		snprintf(text, sizeof text,
			"services: ( { name = \"%s\"; listen = \"*:%u\"; backends = [ \"%s\", \"127.0.0.1:65000\" ]; } );", name,
			i + 1, address);
		c = parsed(text);
		assert_int_equal(plan_ids_service(b->ids, name, &id), 0);
		assert_true(i == 0 || id != first[PLAN_ID_SERVICE]); /* the first has a session all the while */
		if (i == 0)
			first[PLAN_ID_SERVICE] = id;
		assert_true(id != old[PLAN_ID_SERVICE]);
		old[PLAN_ID_SERVICE] = id;
		assert_int_equal(plan_ids_backend(b->ids, name, address, &id), 0);
		if (i == 0)
			first[PLAN_ID_BACKEND] = id;
		assert_int_equal(plan_ids_backend(b->ids, name, "127.0.0.1:65000", &id), 0);
		assert_int_equal(plan_ids_listener(b->ids, name, &id), 0);
		assert_int_equal(id, i + 1); /* never used twice */
		plan_ids_sweep(b->ids, c, used, first);
		config_free(c);
	}
}

static void what_is_drained_is_in_the_plan(void **state)
{
	struct bench *b = *state;
	struct config *c = parsed("services: ( { name = \"a\"; listen = \"127.0.0.1:5020\"; backends = [ \"127.0.0.1:502\", "
				  "\"unix:/b/c\" ]; },"
				  "  { name = \"b\"; listen = \"127.0.0.1:5021\"; backends = \"127.0.0.1:502\"; } );"),
		      *less = parsed(
			      "services: ( { name = \"a\"; listen = \"127.0.0.1:5020\"; backends = \"127.0.0.1:502\"; } );");
	struct drains drains = {0}, again = {0};
	struct drain what;
	struct plan p;

	assert_int_equal(drain_parse(&what, "a/unix:/b/c"), 0);
	assert_true(drain_is_in(&what, c));
	assert_false(drain_is_in(&what, less));
	assert_int_equal(drains_set(&drains, &what, true), 0);
	assert_int_equal(drain_parse(&what, "b"), 0);
	assert_int_equal(drains_set(&drains, &what, true), 0);
	assert_int_equal(drains_set(&drains, &what, true), 0);
	b->drains = &drains;
	p = built(b, c);
	assert_int_equal(p.services[0].drained, 0);
	assert_int_equal(p.services[1].drained, 1);
	assert_int_equal(p.header->listener_count, 1);
	assert_int_equal(p.backends[0].drained, 0);
	assert_int_equal(p.backends[0].address_count, 1);
	assert_int_equal(p.backends[1].drained, 1);
	assert_int_equal(p.backends[1].address_count, 0);
	assert_int_equal(p.backends[2].drained, 0);
	/* the next steward knows it from the plan */
	assert_int_equal(drains_from_plan(&again, &p), 0);
	assert_int_equal(again.count, 2);
	assert_true(drains_has(&again, "a", "unix:/b/c"));
	assert_true(drains_has(&again, "b", NULL));
	assert_false(drains_has(&again, "a", NULL));
	/* a reload keeps what it still has */
	assert_int_equal(drains_copy(&again, &drains, less), 0);
	assert_int_equal(again.count, 0);
	assert_int_equal(drains_set(&drains, &what, false), 0);
	assert_int_equal(drains_set(&drains, &what, false), 0);
	assert_int_equal(drains.count, 1);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
			drain_parse(&what, ((const char *[]){"", "/", "a/", "0123456789012345678901234567890123456789"})[i]),
			-EINVAL);
	drains_fini(&drains);
	drains_fini(&again);
	plan_unmap(&p);
	config_free(c);
	config_free(less);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_plan_says_what_the_config_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_stay_through_reloads_and_restarts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_without_addresses_is_a_backend_without_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_are_used_again_when_nothing_has_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reserved_numbers_are_nobodys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reloads_do_not_use_up_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_drained_is_in_the_plan, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
