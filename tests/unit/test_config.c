#include "steward/config/config.h"
#include "wire/census.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ONE "name = \"a\"; listen = \"*:80\"; backends = \"127.0.0.1:81\"; "

static struct config *parsed(const char *text)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;

	if (config_parse("t.conf", text, strlen(text), &config, &errors) < 0)
		fail_msg("%s", errors.count ? errors.lines[0] : "no error line");
	assert_int_equal(errors.count, 0);
	return config;
}

static void has_the_documented_defaults(void **state)
{
	struct config *c = parsed("services: ( { " ONE " } );");
	const struct service_config *s = config_service(c, "a");

	(void)state;
	assert_string_equal(c->file, "t.conf");
	assert_true(c->settings.workers >= 1 && c->settings.workers <= CENSUS_RELAYS);
	assert_string_equal(c->settings.user_relay, "tcpwarden-relay");
	assert_string_equal(c->settings.user_status, "tcpwarden-status");
	assert_string_equal(c->settings.state_directory, TCPWARDEN_STATEDIR "/tcpwarden");
	/* Nothing of a service's defaults has been stored over it. */
	for (size_t i = strlen(c->settings.state_directory); i < sizeof c->settings.state_directory; i++)
		assert_int_equal(c->settings.state_directory[i], 0);
	assert_string_equal(c->control_socket, TCPWARDEN_RUNSTATEDIR "/tcpwarden/control.sock");
	assert_null(c->control_group);
	assert_int_equal(c->control_mode, 0660);
	assert_int_equal(c->settings.shutdown_timeout_ms, 30000);
	assert_int_equal(c->drain_timeout_ms, 300000);
	assert_int_equal(c->settings.hang_after_ms, 10000);
	assert_int_equal(c->settings.orphan_timeout_ms, 10000);
	assert_int_equal(c->settings.upgrade_timeout_ms, 30000);
	assert_int_equal(c->settings.sessions_max, 0);
	assert_int_equal(c->log_format, LOG_FORMAT_AUTO);
	assert_true(c->log_connected);
	assert_non_null(s);
	assert_null(config_service(c, "b"));
	assert_int_equal(s->balance, BALANCE_ROUND_ROBIN);
	assert_int_equal(s->limit_connections, 0);
	assert_int_equal(s->limit_per_client, 0);
	assert_null(s->reject_message);
	assert_int_equal(s->policy.connect_retries, 3);
	assert_int_equal(s->policy.on_failure, END_RESET);
	assert_int_equal(s->policy.on_connect_failure, END_RESET);
	assert_int_equal(s->policy.on_policy_end, END_RESET);
	assert_int_equal(s->policy.on_backend_gone, BACKEND_GONE_KEEP);
	assert_int_equal(s->policy.abort_on_close, 0);
	assert_int_equal(s->policy.hooked, 0);
	assert_int_equal(s->policy.side[SIDE_BACKEND].connect_timeout_ms, 5000);
	for (int i = 0; i < SIDES; i++) {
		assert_int_equal(s->policy.side[i].linger, LINGER_DELIVER);
		assert_int_equal(s->policy.side[i].linger_timeout_ms, 30000);
		assert_int_equal(s->policy.side[i].nodelay, 1);
		assert_int_equal(s->policy.side[i].user_timeout_ms, 0);
		assert_int_equal(s->policy.side[i].dead_after_ms, 60000);
		assert_int_equal(s->policy.side[i].ask_gap_ms, 8000);
		assert_int_equal(s->policy.side[i].stall_after_ms, 0);
		assert_int_equal(s->policy.side[i].keepalive_idle_s, 12);
		assert_int_equal(s->policy.side[i].keepalive_interval_s, 4);
		assert_int_equal(s->policy.side[i].keepalive_count, 12);
	}
	assert_null(s->acquire.command);
	assert_null(s->release.command);
	config_free(c);
}

static void a_service_has_what_it_says_then_the_defaults_then_ours(void **state)
{
	struct config *c = parsed(
		"services: ("
		"  { name = \"a\"; listen = \"*:80\"; client: { linger = \"deliver\"; keepalive = { count = 5; }; };"
		"    hooks: { acquire: { timeout = \"7s\"; environment = \"C=3\"; }; }; limits: { reject_message = \"\"; }; },"
		"  { name = \"b\"; listen = \"*:81\"; backends = [ \"x:1\", \"y:2\" ]; client: { keepalive = true; }; }"
		");"
		"defaults: { backends = \"d:9\"; balance = \"failover\"; abort_on_close = true;"
		"  client: { linger = \"reset\"; linger_timeout = \"1s\"; keepalive = false; user_timeout = \"1m\"; };"
		"  hooks: { acquire: { command = [ \"/bin/true\", \"x\" ]; timeout = \"3s\"; umask = \"0027\"; on_error = "
		"\"allow\";"
		"    environment = [ \"A=1\", \"B=2\" ]; directory = \"/tmp\"; }; };"
		"  limits: { connections = 7; reject_message = \"busy\\r\\n\"; }; };");
	const struct service_config *a = config_service(c, "a"), *b = config_service(c, "b");

	(void)state;
	assert_int_equal(a->backend_count, 1);
	assert_string_equal(a->backends[0].address.text, "d:9");
	assert_int_equal(b->backend_count, 2);
	assert_string_equal(b->backends[1].address.text, "y:2");
	assert_int_equal(a->balance, BALANCE_FAILOVER);
	assert_int_equal(a->policy.abort_on_close, 1);
	assert_int_equal(a->policy.side[SIDE_CLIENT].linger, LINGER_DELIVER);
	assert_int_equal(b->policy.side[SIDE_CLIENT].linger, LINGER_RESET);
	assert_int_equal(a->policy.side[SIDE_CLIENT].linger_timeout_ms, 1000);
	assert_int_equal(a->policy.side[SIDE_BACKEND].linger_timeout_ms, 30000);
	assert_int_equal(a->policy.side[SIDE_CLIENT].user_timeout_ms, 60000);
	/* on again, in part or whole, where the defaults had it off */
	assert_int_equal(a->policy.side[SIDE_CLIENT].keepalive_idle_s, 40);
	assert_int_equal(a->policy.side[SIDE_CLIENT].keepalive_count, 5);
	assert_int_equal(b->policy.side[SIDE_CLIENT].keepalive_idle_s, 12);
	assert_string_equal(a->acquire.command[1], "x");
	assert_null(a->acquire.command[2]);
	assert_int_equal(a->acquire.timeout_ms, 7000);
	assert_int_equal(b->acquire.timeout_ms, 3000);
	assert_int_equal(a->acquire.umask, 0027);
	assert_int_equal(a->release.umask, -1);
	assert_true(a->acquire.allow_on_error);
	assert_string_equal(a->acquire.environment[0], "C=3");
	assert_null(a->acquire.environment[1]);
	assert_string_equal(b->acquire.environment[1], "B=2");
	assert_string_equal(a->acquire.directory, "/tmp");
	assert_int_equal(a->policy.hooked, 1);
	assert_int_equal(a->limit_connections, 7);
	assert_null(a->reject_message);
	assert_int_equal(a->reject_length, 0);
	assert_string_equal(b->reject_message, "busy\r\n");
	assert_int_equal(b->reject_length, 6);
	config_free(c);
}

static void each_word_and_switch_is_stored(void **state)
{
	struct config *c = parsed(
		"workers = 3; state_directory = \"/s\"; users: { relay = \"r\"; status = \"t\"; };"
		"control: { socket = \"off\"; group = \"g\"; mode = \"0600\"; }; limits: { connections = 99; };"
		"log: { format = \"json\"; connected = false; };"
		"shutdown_timeout = \"0s\"; drain_timeout = \"off\"; hang_after = \"1s\"; orphan_timeout = \"500ms\";"
		"services: ( { " ONE "on_failure = \"close\"; on_connect_failure = \"reset_now\"; on_policy_end = \"close\";"
		"  on_backend_gone = \"reset\";"
		"balance = \"source-hash\"; connect_retries = 0; backend: { keepalive = \"off\"; linger = \"background\";"
		"nodelay = false; connect_timeout = \"250ms\"; user_timeout = false; };"
		"hooks: { release: { command = \"/bin/true\"; concurrency = 1; }; acquire: { queue = 0; command = \"/bin/true\"; "
		"}; }; } );");
	const struct service_config *s = config_service(c, "a");

	(void)state;
	assert_int_equal(c->settings.workers, 3);
	assert_string_equal(c->settings.state_directory, "/s");
	assert_string_equal(c->settings.user_relay, "r");
	assert_string_equal(c->settings.user_status, "t");
	assert_null(c->control_socket);
	assert_string_equal(c->control_group, "g");
	assert_int_equal(c->control_mode, 0600);
	assert_int_equal(c->settings.sessions_max, 99);
	assert_int_equal(c->log_format, LOG_FORMAT_JSON);
	assert_false(c->log_connected);
	assert_int_equal(c->settings.shutdown_timeout_ms, 0);
	assert_int_equal(c->drain_timeout_ms, 0);
	assert_int_equal(c->settings.orphan_timeout_ms, 500);
	assert_int_equal(s->policy.on_failure, END_CLOSE);
	assert_int_equal(s->policy.on_connect_failure, END_RESET_NOW);
	assert_int_equal(s->policy.on_policy_end, END_CLOSE);
	assert_int_equal(s->policy.on_backend_gone, BACKEND_GONE_RESET);
	assert_int_equal(s->balance, BALANCE_SOURCE_HASH);
	assert_int_equal(s->policy.connect_retries, 0);
	assert_int_equal(s->policy.side[SIDE_BACKEND].keepalive_idle_s, 0);
	assert_int_equal(s->policy.side[SIDE_BACKEND].linger, LINGER_BACKGROUND);
	assert_int_equal(s->policy.side[SIDE_BACKEND].nodelay, 0);
	assert_int_equal(s->policy.side[SIDE_BACKEND].connect_timeout_ms, 250);
	assert_int_equal(s->release.concurrency, 1);
	assert_int_equal(s->acquire.queue, 0);
	assert_int_equal(s->policy.hooked, 1);
	config_free(c);
}

static void the_text_is_kept_whole(void **state)
{
	const char *text = "services: ( { " ONE " } ); # the end";
	struct config *c = parsed(text), *again;

	(void)state;
	assert_int_equal(c->text_length, strlen(text));
	assert_string_equal(c->text, text);
	again = parsed(c->text);
	config_free(again);
	config_free(c);
}

static void refuse(const char *text, size_t length, const char *expected)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;

	assert_int_equal(config_parse("t.conf", text, length, &config, &errors), -EINVAL);
	assert_null(config);
	assert_int_equal(errors.count, 1);
	assert_string_equal(errors.lines[0], expected);
	config_errors_free(&errors);
}

static void bounds_hold(void **state)
{
	char *text = NULL, expected[200];
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fputs("services: ( { name = \"a\"; backends = \"b:1\"; listen = [ ", stream);
	for (int i = 0; i <= LEDGER_LISTENERS_WANTED; i++)
		fprintf(stream, "%s\"*:%d\"", i ? ", " : "", 1000 + i);
	fputs(" ]; } );", stream);
	fclose(stream);
	snprintf(expected, sizeof expected,
		"t.conf:1: services[0].listen[%d]: too many addresses to listen on (at most %d in all)", LEDGER_LISTENERS_WANTED,
		LEDGER_LISTENERS_WANTED);
	refuse(text, size, expected);
	free(text);
	stream = open_memstream(&text, &size);
	fputs("services: ( { name = \"a\"; listen = \"*:80\"; backends = [ ", stream);
	for (int i = 0; i < CENSUS_BACKENDS; i++)
		fprintf(stream, "%s\"b:%d\"", i ? ", " : "", 1 + i);
	fputs(" ]; } );", stream);
	fclose(stream);
	snprintf(expected, sizeof expected, "t.conf:1: services: %d backends in all (at most %d)", CENSUS_BACKENDS,
		CENSUS_BACKENDS - 1);
	refuse(text, size, expected);
	free(text);
	refuse("a\0b", 3, "t.conf:1: syntax: a zero byte (is this a text file?), in: ab");
}

static void files_that_cannot_be_read(void **state)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/t.conf", &config, &errors), -ENOENT);
	assert_int_equal(errors.count, 1);
	assert_string_equal(errors.lines[0],
		"/nonexistent/t.conf: No such file or directory (there is no such file; give another with its path)");
	config_errors_free(&errors);
	assert_int_equal(config_load("/", &config, &errors), -EISDIR);
	config_errors_free(&errors);
	assert_int_equal(config_load("/dev/zero", &config, &errors), -EFBIG);
	config_errors_free(&errors);
	assert_null(config);
}

/* Whatever part of a good text is cut off or turned into another character: an answer, and no memory touched that is not ours. */
static void no_text_is_fatal(void **state)
{
	static const char marks[] = "{}()[]\"'=:;,#/*@\\ \n0a.-";
	const char *good =
		"workers = 2; /* c */ defaults: { client = { keepalive = { idle = \"20s\"; }; }; };\n"
		"services: ( { name = \"a\"; listen = [ \"*:80\", \"[::1]:81\" ];\n backends = ( { address = \"b:1\"; } ); # x\n"
		"hooks = { acquire = { command = [ \"/bin/true\", \"x\" ]; }; }; } );";
	size_t length = strlen(good);
	char *text = malloc(length);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < length; i++) {
		for (size_t j = 0; j < sizeof marks; j++) {
			struct config_errors errors = {NULL, 0};
			struct config *config = NULL;
			int r;

			memcpy(text, good, length);
			text[i] = marks[j];
			r = config_parse("t.conf", text, j ? length : i, &config, &errors);
			assert_true(r == 0 ? config && errors.count == 0 : r == -EINVAL && !config && errors.count > 0);
			config_free(config);
			config_errors_free(&errors);
		}
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_defaults),
		cmocka_unit_test(a_service_has_what_it_says_then_the_defaults_then_ours),
		cmocka_unit_test(each_word_and_switch_is_stored),
		cmocka_unit_test(the_text_is_kept_whole),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(no_text_is_fatal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
