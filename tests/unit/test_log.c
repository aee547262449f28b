/* What a log line looks like in each of its forms, and that none of them can be forged or made to wait. */
#include "base/escape.h"
#include "steward/lease/leases.h"
#include "steward/log/record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

static const uint64_t noon_us = 1700000000123456u; /* 2023-11-14T22:13:20.123Z */

static struct ledger_event an_end(void)
{
	struct ledger_event e = {
		.kind = EVENT_ENDED,
		.record =
			{
				.id = 0x1a2b,
				.fence = 77,
				.started_ms = 1000,
				.ended_ms = 13345,
				.client = {.family = AF_INET, .port = 5020, .ip = {192, 0, 2, 1}},
				.local = {.family = AF_UNIX},
				.backend = {.family = AF_INET6, .port = 502, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}},
				.bytes = {1234, 5678},
				.undelivered = {0, 9},
				.reason = {.who = WHO_CLIENT,
					.how = HOW_RESET,
					.operation = OPERATION_RECEIVE,
					.state = SLOT_RELAYING,
					.error = ECONNRESET},
				.service = "plc-gateway",
			},
	};

	return e;
}

static void text_of_an_end(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;
	char line[LOG_LINE_SIZE], lease[24], want[1024];
	size_t length;

	(void)state;
	lease_format(77, lease);
	log_record_event(&r, &e, "unix:/run/plc.sock", NULL);
	length = log_record_text(&r, noon_us, false, line);
	assert_int_equal(length, strlen(line));
	snprintf(want, sizeof want,
		"2023-11-14T22:13:20.123Z info session 1a2b ended service=plc-gateway client=192.0.2.1:5020 "
		"local=unix:/run/plc.sock "
		"backend=[2001:db8::1]:502 lease=%s reason=client.reset operation=receive errno=ECONNRESET state=relaying "
		"bytes_to_backend=1234 bytes_to_client=5678 undelivered_to_backend=0 undelivered_to_client=9 duration_ms=12345\n",
		lease);
	assert_string_equal(line, want);
	log_record_text(&r, noon_us, true, line);
	assert_memory_equal(line, "<6>session 1a2b ended ", strlen("<6>session 1a2b ended "));
}

static void text_of_a_start_has_no_end(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;
	char line[LOG_LINE_SIZE];

	(void)state;
	e.kind = EVENT_CONNECTED;
	e.record.fence = 0;
	log_record_event(&r, &e, NULL, NULL);
	log_record_text(&r, noon_us, false, line);
	assert_string_equal(line,
		"2023-11-14T22:13:20.123Z info session 1a2b connected service=plc-gateway client=192.0.2.1:5020 local=unix "
		"backend=[2001:db8::1]:502 lease=-\n");
}

static void ours_is_a_warning(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;

	(void)state;
	e.record.reason = (struct reason){.who = WHO_SYSTEM, .how = HOW_LOST};
	log_record_event(&r, &e, NULL, NULL);
	assert_int_equal(r.priority, LOG_WARNING);
}

static void claims_out_of_range_are_shown_as_such(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;
	char line[LOG_LINE_SIZE];

	(void)state;
	e.record.reason = (struct reason){.who = 200, .how = 201, .operation = 202, .state = 203, .error = 99999};
	strcpy(e.record.service, "a b=\"\n\x1b[31m");
	log_record_event(&r, &e, NULL, NULL);
	log_record_text(&r, noon_us, false, line);
	assert_non_null(strstr(line, "reason=?.? operation=? errno=? state=?"));
	assert_non_null(strstr(line, "service=\"a b=\\x22\\x0a\\x1b[31m\""));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void json_is_json_whatever_came(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;
	char line[LOG_LINE_SIZE];
	json_t *object;

	(void)state;
	strcpy(e.record.service, "\xff\"\\\n");
	log_record_event(&r, &e, NULL, NULL);
	log_record_json(&r, noon_us, line);
	object = json_loads(line, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "service")), "\\xff\"\\\\x0a");
	assert_string_equal(json_string_value(json_object_get(object, "session")), "1a2b");
	assert_string_equal(json_string_value(json_object_get(object, "bytes_to_client")), "5678");
	assert_string_equal(json_string_value(json_object_get(object, "time")), "2023-11-14T22:13:20.123Z");
	json_decref(object);
	/* The longest message of what quoting makes longest is cut until the line fits. */
	log_record_init(&r, LOG_ERR, NULL);
	memset(r.message, '"', sizeof r.message - 1);
	r.message[sizeof r.message - 1] = '\0';
	for (int i = 0; i < LOG_FIELDS_MAX; i++)
		log_record_field(&r, "SESSION", "%0150d", i);
	assert_in_range(log_record_json(&r, noon_us, line), 2, LOG_LINE_SIZE - 1);
	object = json_loads(line, 0, NULL);
	assert_non_null(object);
	json_decref(object);
}

static const char *field(const struct journal_record *r, const char *name)
{
	static char value[512];
	char *at = memmem(r->bytes, r->used, name, strlen(name)), *end;

	assert_non_null(at);
	at += strlen(name);
	end = memchr(at, '\n', r->used - (size_t)(at - r->bytes));
	snprintf(value, sizeof value, "%.*s", (int)(end - at), at);
	return value;
}

static void journal_fields_of_an_end(void **state)
{
	struct ledger_event e = an_end();
	struct log_record r;
	struct journal_record j;

	(void)state;
	log_record_event(&r, &e, NULL, NULL);
	log_record_journal(&r, &j);
	assert_false(j.full);
	assert_string_equal(field(&j, "\nPRIORITY="), "6");
	assert_string_equal(field(&j, "\nSYSLOG_IDENTIFIER="), "tcpwarden");
	assert_int_equal(strlen(field(&j, "\nMESSAGE_ID=")), 32);
	assert_string_equal(field(&j, "\nTCPWARDEN_SESSION="), "1a2b");
	assert_string_equal(field(&j, "\nTCPWARDEN_REASON="), "client.reset");
	assert_string_equal(field(&j, "\nTCPWARDEN_ERRNO="), "ECONNRESET");
	assert_string_equal(field(&j, "\nTCPWARDEN_UNDELIVERED_TO_CLIENT="), "9");
	assert_memory_equal(j.bytes, "MESSAGE=session 1a2b ended ", strlen("MESSAGE=session 1a2b ended "));
}

static void a_value_of_many_lines_is_framed_by_its_length(void **state)
{
	static const char want[] = "X\n\x03\0\0\0\0\0\0\0a\nb\n";
	struct journal_record j = {0};

	(void)state;
	journal_add(&j, "X", "a\nb", 3);
	assert_int_equal(j.used, sizeof want - 1);
	assert_memory_equal(j.bytes, want, j.used);
	for (int i = 0; i < 2000 && !j.full; i++)
		journal_add(&j, "FILLER", "0123456789", 10);
	assert_true(j.full);
	assert_in_range(j.used, 1, sizeof j.bytes);
}

static void a_journal_that_is_behind_or_gone_makes_nobody_wait(void **state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct journal_record j = {0};
	char directory[] = "/tmp/test_log.XXXXXX";
	int r = 0, server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd = journal_open();

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(to.sun_path, sizeof to.sun_path, "%s/socket", directory);
	assert_int_equal(journal_send(fd, to.sun_path, &j), -ENOENT);
	assert_int_equal(bind(server, (struct sockaddr *)&to, sizeof to), 0);
	journal_add(&j, "MESSAGE", "x", 1);
	for (int i = 0; i < 100000 && r == 0; i++)
		r = journal_send(fd, to.sun_path, &j);
	assert_int_equal(r, -EAGAIN);
	close(server);
	assert_int_equal(journal_send(fd, to.sun_path, &j), -ECONNREFUSED);
	close(fd);
	unlink(to.sun_path);
	rmdir(directory);
}

static void the_journals_stream_is_known_by_its_number(void **state)
{
	struct stat st;
	char name[64];
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fstat(fds[1], &st);
	snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	assert_true(journal_is_stream(fds[1], name));
	assert_false(journal_is_stream(fds[1], NULL));
	assert_false(journal_is_stream(fds[1], ""));
	assert_false(journal_is_stream(fds[1], "1:2"));
	strcat(name, "x");
	assert_false(journal_is_stream(fds[1], name));
	close(fds[0]);
	close(fds[1]);
}

static void what_a_terminal_would_obey_is_escaped(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"plain", "plain"}, {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\x1b[2J\x7f\t", "\\x1b[2J\\x7f\\x09"},
		{"\xc2\x9b"
		 "31m",
			"\\xc2\\x9b31m"},                     /* C1 control sequence introducer */
		{"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond Unicode */
		{"\xe2\x82", "\\xe2\\x82"},                   /* cut off */
	};
	char to[64];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(escape_text(to, sizeof to, cases[i].from, strlen(cases[i].from)), strlen(cases[i].to));
		assert_string_equal(to, cases[i].to);
	}
	/* Cut at a whole character. */
	assert_int_equal(escape_text(to, 5, "abc\xe2\x82\xac", 6), 3);
	assert_int_equal(escape_text(to, 5, "ab\n", 3), 2);
	assert_int_equal(escape_text(to, 0, "ab", 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_of_an_end),
		cmocka_unit_test(text_of_a_start_has_no_end),
		cmocka_unit_test(ours_is_a_warning),
		cmocka_unit_test(claims_out_of_range_are_shown_as_such),
		cmocka_unit_test(json_is_json_whatever_came),
		cmocka_unit_test(journal_fields_of_an_end),
		cmocka_unit_test(a_value_of_many_lines_is_framed_by_its_length),
		cmocka_unit_test(a_journal_that_is_behind_or_gone_makes_nobody_wait),
		cmocka_unit_test(the_journals_stream_is_known_by_its_number),
		cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
