/* libuv asks getaddrinfo(3), which here is ours: it answers what the test has written on the slate. */
#include "steward/log/log.h"
#include "steward/names/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct slate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int error;          /* EAI_*; 0: the addresses */
	const char *answer; /* IPv4 addresses, parted by spaces */
	bool held;          /* no answer is given while it is set */
	int asked;
} slate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct said {
	int warnings, notices, infos;
	char last[512];
} said;

void log_line(int priority, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said.last, sizeof said.last, format, arguments);
	va_end(arguments);
	said.warnings += priority == 4;
	said.notices += priority == 5;
	said.infos += priority == 6;
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
	struct addrinfo **restrict ret)
{
	struct addrinfo *list = NULL, **at = &list;
	char one[INET_ADDRSTRLEN];
	int error, used;

	(void)node;
	(void)hints;
	pthread_mutex_lock(&slate.lock);
	slate.asked++;
	pthread_cond_broadcast(&slate.changed);
	while (slate.held)
		pthread_cond_wait(&slate.changed, &slate.lock);
	error = slate.error;
	for (const char *p = slate.answer; p && error == 0 && sscanf(p, "%15s%n", one, &used) == 1; p += used) {
		struct sockaddr_in *in = calloc(1, sizeof *in);
		*at = calloc(1, sizeof **at);
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(service));
		inet_pton(AF_INET, one, &in->sin_addr);
		(*at)->ai_family = AF_INET;
		(*at)->ai_addrlen = sizeof *in;
		(*at)->ai_addr = (struct sockaddr *)in;
		at = &(*at)->ai_next;
	}
	pthread_mutex_unlock(&slate.lock);
	*ret = list;
	return error;
}

void freeaddrinfo(struct addrinfo *list)
{
	for (struct addrinfo *next; list; list = next) {
		next = list->ai_next;
		free(list->ai_addr);
		free(list);
	}
}

static void write_slate(int error, const char *answer, bool held)
{
	pthread_mutex_lock(&slate.lock);
	slate.error = error;
	slate.answer = answer;
	slate.held = held;
	pthread_cond_broadcast(&slate.changed);
	pthread_mutex_unlock(&slate.lock);
}

static int asked(void)
{
	int count;

	pthread_mutex_lock(&slate.lock);
	count = slate.asked;
	pthread_mutex_unlock(&slate.lock);
	return count;
}

struct bench {
	uv_loop_t loop;
	uv_timer_t deadline;
	struct resolver *resolver;
	struct config *config;
	int changes, readies, stops;
	bool late;
};

/* What a timer's callback brings about is else seen only after the next thing that the loop waits for: the deadline. */
static void count(struct bench *b, int *what)
{
	++*what;
	uv_stop(&b->loop);
}

static void on_change(void *context)
{
	count(context, &((struct bench *)context)->changes);
}

static void on_ready(void *context)
{
	count(context, &((struct bench *)context)->readies);
}

static void on_stopped(void *context)
{
	struct bench *b = context;

	b->stops++;
	uv_close((uv_handle_t *)&b->deadline, NULL);
}

static void on_deadline(uv_timer_t *timer)
{
	((struct bench *)timer->data)->late = true;
}

/* Runs the loop until the count is reached, and fails when it takes too long. */
static void wait_for(struct bench *b, const int *count, int wanted)
{
	b->late = false;
	uv_timer_start(&b->deadline, on_deadline, 20000, 0);
	while (*count < wanted && !b->late)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_int_equal(*count, wanted);
	uv_timer_stop(&b->deadline);
}

/* Until the lookups asked for have been answered and dealt with. */
static void wait_for_lookup(struct bench *b, int wanted)
{
	wait_for(b, &slate.asked, wanted);
	while (b->loop.active_reqs.count > 0)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static struct config *config_of(const char *backends)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;
	char text[512];

	snprintf(text, sizeof text, "services: ( { name = \"a\"; listen = \"*:80\"; backends = [ %s ]; } );", backends);
	if (config_parse("t.conf", text, strlen(text), &config, &errors) < 0)
		fail_msg("%s", errors.lines[0]);
	return config;
}

static int set_up(void **state)
{
	static const struct resolver_callbacks callbacks = {on_change, on_ready, on_stopped};
	struct bench *b = calloc(1, sizeof *b);

	assert_non_null(b);
	said = (struct said){0};
	slate.asked = 0;
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->deadline);
	b->deadline.data = b;
	assert_int_equal(resolver_new(&b->loop, &callbacks, b, &b->resolver), 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	write_slate(0, "", false);
	resolver_stop(b->resolver);
	while (uv_run(&b->loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(b->stops, 1);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	config_free(b->config);
	free(b);
	return 0;
}

static void use(struct bench *b, struct config *config)
{
	assert_int_equal(resolver_prepare(b->resolver, config), 0);
	wait_for(b, &b->readies, b->readies + 1);
	/* what a plan would be made of */
	for (size_t i = 0; i < config->services[0].backend_count; i++)
		resolver_addresses(b->resolver, &config->services[0].backends[i].address, &(size_t){0});
	resolver_use(b->resolver, config);
	config_free(b->config);
	b->config = config;
}

static const char *addresses(struct bench *b, size_t backend)
{
	static char text[256];
	size_t count, used = 0;
	const struct plan_address *list =
		resolver_addresses(b->resolver, &b->config->services[0].backends[backend].address, &count);

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		struct endpoint e;
		char one[ENDPOINT_TEXT];
		endpoint_from_sockaddr(&e, &list[i].to);
		endpoint_format(&e, one);
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", one);
	}
	return text;
}

static void what_needs_no_lookup_is_there_at_once(void **state)
{
	struct bench *b = *state;

	b->config = config_of("\"127.0.0.1:5\", \"[::1]:6\", \"unix:/run/x\"");
	assert_int_equal(resolver_prepare(b->resolver, b->config), 0);
	assert_int_equal(b->readies, 0); /* never from within the call */
	assert_int_equal(resolver_pending(b->resolver), 0);
	assert_string_equal(addresses(b, 0), "127.0.0.1:5");
	assert_string_equal(addresses(b, 1), "[::1]:6");
	assert_string_equal(addresses(b, 2), "unix");
	wait_for(b, &b->readies, 1);
	resolver_use(b->resolver, b->config);
	resolver_again(b->resolver, "127.0.0.1:5");
	assert_int_equal(asked(), 0);
	assert_int_equal(b->changes, 0);
}

static void a_name_is_looked_up_and_again_when_a_relay_says_so(void **state)
{
	struct bench *b = *state;

	write_slate(0, "10.0.0.1 10.0.0.2 10.0.0.1", false);
	use(b, config_of("\"plc:5\""));
	assert_int_equal(asked(), 1);
	assert_string_equal(addresses(b, 0), "10.0.0.1:5 10.0.0.2:5");
	/* those that stay keep their places */
	write_slate(0, "10.0.0.3 10.0.0.2", false);
	resolver_again(b->resolver, "plc:5");
	resolver_again(b->resolver, "plc:5");
	resolver_again(b->resolver, "unknown:5");
	wait_for(b, &b->changes, 1);
	assert_int_equal(asked(), 2);
	assert_string_equal(addresses(b, 0), "10.0.0.2:5 10.0.0.3:5");
	/* another order is no change */
	write_slate(0, "10.0.0.3 10.0.0.2", false);
	resolver_again(b->resolver, "plc:5");
	wait_for_lookup(b, 3);
	write_slate(0, "10.0.0.9", false);
	resolver_again(b->resolver, "plc:5");
	wait_for(b, &b->changes, 2);
	assert_string_equal(addresses(b, 0), "10.0.0.9:5");
}

static void asking_often_looks_up_once_a_second(void **state)
{
	struct bench *b = *state;
	uint64_t start;

	write_slate(0, "10.0.0.1", false);
	use(b, config_of("\"plc:5\""));
	start = uv_hrtime();
	for (int i = 2; i <= 3; i++) {
		static char answer[2][16];
		snprintf(answer[i - 2], sizeof answer[0], "10.0.0.%u", (unsigned)i % 10);
		write_slate(0, answer[i - 2], false);
		for (int j = 0; j < 100; j++)
			resolver_again(b->resolver, "plc:5");
		wait_for(b, &b->changes, i - 1);
	}
	assert_true(uv_hrtime() - start > 1500000000u);
	assert_int_equal(asked(), 3);
}

static void a_failure_keeps_the_last_good_answer_and_is_told_once(void **state)
{
	struct bench *b = *state;

	write_slate(0, "10.0.0.1", false);
	use(b, config_of("\"plc:5\""));
	write_slate(EAI_AGAIN, NULL, false);
	for (int i = 2; i <= 3; i++) {
		resolver_again(b->resolver, "plc:5");
		wait_for_lookup(b, i);
	}
	write_slate(0, "10.0.0.1", false);
	resolver_again(b->resolver, "plc:5");
	wait_for(b, &said.notices, 1);
	assert_int_equal(said.warnings, 1);
	assert_string_equal(addresses(b, 0), "10.0.0.1:5");
	assert_int_equal(b->changes, 0);
}

static void a_name_that_does_not_resolve_holds_up_nothing(void **state)
{
	struct bench *b = *state;

	write_slate(EAI_NONAME, NULL, false);
	use(b, config_of("\"plc:5\", \"127.0.0.1:6\""));
	assert_int_equal(resolver_pending(b->resolver), 0);
	assert_string_equal(addresses(b, 0), "");
	assert_string_equal(addresses(b, 1), "127.0.0.1:6");
	assert_int_equal(said.warnings, 1);
	write_slate(0, "10.0.0.1", false);
	resolver_again(b->resolver, "plc:5");
	wait_for(b, &b->changes, 1);
	assert_string_equal(addresses(b, 0), "10.0.0.1:5");
}

static void waiting_for_an_answer_is_bounded(void **state)
{
	struct bench *b = *state;
	uint64_t start = uv_hrtime();

	write_slate(0, "10.0.0.1", true);
	use(b, config_of("\"plc:5\""));
	assert_true(uv_hrtime() - start >= (RESOLVER_PREPARE_MS - 100) * 1000000ull);
	assert_int_equal(resolver_pending(b->resolver), 1);
	assert_string_equal(addresses(b, 0), "");
	write_slate(0, "10.0.0.1", false);
	wait_for(b, &b->changes, 1);
	assert_string_equal(addresses(b, 0), "10.0.0.1:5");
}

static void an_answer_between_plan_and_use_is_not_lost(void **state)
{
	struct bench *b = *state;

	write_slate(0, "10.0.0.1", false);
	b->config = config_of("\"plc:5\"");
	assert_int_equal(resolver_prepare(b->resolver, b->config), 0);
	wait_for(b, &b->readies, 1);
	/* nobody has read its addresses when the config comes into force */
	resolver_use(b->resolver, b->config);
	assert_int_equal(b->changes, 0);
	wait_for(b, &b->changes, 1);
}

static void a_reload_that_fails_leaves_the_old_names(void **state)
{
	struct bench *b = *state;
	struct config *other = config_of("\"plc:5\", \"other:6\"");
	size_t count;

	write_slate(0, "10.0.0.1", false);
	use(b, config_of("\"plc:5\", \"old:7\""));
	assert_int_equal(resolver_prepare(b->resolver, other), 0);
	wait_for(b, &b->readies, 2);
	assert_string_equal(addresses(b, 1), "10.0.0.1:7");
	resolver_addresses(b->resolver, &other->services[0].backends[1].address, &count);
	assert_int_equal(count, 1);
	resolver_use(b->resolver, b->config);
	resolver_addresses(b->resolver, &other->services[0].backends[1].address, &count);
	assert_int_equal(count, 0);
	assert_string_equal(addresses(b, 0), "10.0.0.1:5");
	config_free(other);
}

static void it_ends_with_a_lookup_under_way(void **state)
{
	struct bench *b = *state;

	write_slate(0, "10.0.0.1", true);
	b->config = config_of("\"plc:5\", \"plc:6\", \"plc:7\", \"plc:8\", \"plc:9\"");
	assert_int_equal(resolver_prepare(b->resolver, b->config), 0);
	pthread_mutex_lock(&slate.lock);
	while (slate.asked == 0)
		pthread_cond_wait(&slate.changed, &slate.lock);
	pthread_mutex_unlock(&slate.lock);
	resolver_stop(b->resolver);
	uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_int_equal(b->stops, 0); /* and goes on in tear_down, which calls resolver_stop a second time */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_needs_no_lookup_is_there_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_is_looked_up_and_again_when_a_relay_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asking_often_looks_up_once_a_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_keeps_the_last_good_answer_and_is_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_does_not_resolve_holds_up_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiting_for_an_answer_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_between_plan_and_use_is_not_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reload_that_fails_leaves_the_old_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_ends_with_a_lookup_under_way, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
