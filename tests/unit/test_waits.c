/* Each situation that a session can be in, and the phrase for it. */
#include "steward/control/waits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NOW_MS = 1000000000, ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5, OPEN = 65536 };

#define AGO(ms)  (NOW_MS - (uint64_t)(ms))
#define HOURS(n) ((n)*3600000)

/* Heard from `ms` ago, with that window. */
#define HEARD(ms, offered) .state = ESTABLISHED, .window = (offered), .mss = 1448, .last_ack_ms = (ms), .last_data_ms = (ms)

static const struct tcp_facts just_now = {HEARD(20, OPEN)};
static const struct tcp_facts seconds_ago = {HEARD(8200, OPEN)};
static const struct tcp_facts hours_ago = {.state = ESTABLISHED, .last_ack_ms = 2100, .last_data_ms = HOURS(3)};
static const struct tcp_facts stopped = {HEARD(4000, 0), .unsent_bytes = 90000, .probes = 1, .backoff = 5, .last_sent_ms = 42100};
static const struct tcp_facts shrunk = {HEARD(400, 0), .unacked_bytes = 3000, .last_sent_ms = 5000};
static const struct tcp_facts no_room = {HEARD(1600, 3000), .unacked_bytes = 2000, .unsent_bytes = 90000, .last_sent_ms = 1500};
static const struct tcp_facts in_flight = {HEARD(1300, OPEN), .unacked_bytes = 2000, .last_sent_ms = 300};
static const struct tcp_facts lost = {HEARD(12900, OPEN), .unacked_bytes = 2000, .retransmits = 3, .last_sent_ms = 100};
static const struct tcp_facts lost_longer = {HEARD(14900, OPEN), .unacked_bytes = 2000, .retransmits = 4, .last_sent_ms = 100};
static const struct tcp_facts lossy = {HEARD(100, OPEN), .unacked_bytes = 2000, .retransmits = 1, .last_sent_ms = 100};
static const struct tcp_facts stopped_and_lost = {
	HEARD(25000, 0), .unsent_bytes = 90000, .probes = 4, .backoff = 5, .last_sent_ms = 42100};
static const struct tcp_facts one_probe_just_sent = {HEARD(12050, OPEN), .probes = 1};
static const struct tcp_facts unanswered = {HEARD(18000, OPEN), .probes = 2};
static const struct tcp_facts unanswered_longer = {HEARD(21000, OPEN), .probes = 3};
static const struct tcp_facts unread = {HEARD(6000, OPEN), .unread_bytes = 5000};
static const struct tcp_facts owes_bytes = {HEARD(900, 0), .unsent_bytes = 12000, .last_sent_ms = 3100};
static const struct tcp_facts source = {HEARD(5000, OPEN), .unread_bytes = 345};
static const struct tcp_facts owes_nothing = {.state = FIN_WAIT1, .end_unacked = true, .last_ack_ms = 100, .last_data_ms = 100};
static const struct tcp_facts end_lost = {
	.state = FIN_WAIT1, .end_unacked = true, .retransmits = 2, .last_ack_ms = 2300, .last_data_ms = 9000};
static const struct tcp_facts owes_its_end = {.state = FIN_WAIT2, .last_ack_ms = 100, .last_data_ms = 100};

struct situation {
	const char *phrase;
	const struct tcp_facts *client, *backend;
	struct slot slot;
};

#define BOTH         .fd = {10, 11}
#define CLIENT_ONLY  .fd = {10, -1}
#define BACKEND_ONLY .fd = {-1, 11}

static const struct situation situations[] = {
	{"refusing", &just_now, NULL, {.state = SLOT_REFUSING, CLIENT_ONLY}},
	{"waiting for a place 1 s", &just_now, NULL, {.state = SLOT_WAITING, .record.started_ms = AGO(1000), CLIENT_ONLY}},
	{"waiting for acquire 2 s", &just_now, NULL, {.state = SLOT_ACQUIRING, .record.started_ms = AGO(2000), CLIENT_ONLY}},
	{"waiting for acquire 0.4 s", NULL, NULL, {.state = SLOT_ACQUIRING, .record.started_ms = AGO(450), CLIENT_ONLY}},
	{"connecting to 192.0.2.1:80 for 0.4 s", &just_now, NULL,
		{.state = SLOT_CONNECTING, .deadline_ms = NOW_MS + 2600, .tries = 1, BOTH}},
	{"connecting to 192.0.2.1:80 for 3 s (try 2)", &just_now, NULL,
		{.state = SLOT_CONNECTING, .deadline_ms = NOW_MS, .tries = 2, BOTH}},
	{"waiting for a free socket to connect with", &just_now, NULL,
		{.state = SLOT_CONNECTING, .deadline_ms = NOW_MS, CLIENT_ONLY}},

	/* Silence before everything else, and the longer one of two. */
	{"no ACK from backend for 12 s, retry 3", &just_now, &lost, {.state = SLOT_RELAYING, BOTH}},
	{"no ACK from backend for 12 s, retry 3", &stopped, &lost, {.state = SLOT_RELAYING, BOTH}},
	{"no ACK from client for 14 s, retry 4", &lost_longer, &lost, {.state = SLOT_RELAYING, BOTH}},
	{"no ACK from backend for 14 s, retry 4", &lost, &lost_longer, {.state = SLOT_RELAYING, BOTH}},
	{"no ACK from client for 25 s, retry 4", &stopped_and_lost, &just_now, {.state = SLOT_RELAYING, BOTH}},
	{"moving", &just_now, &lossy, {.state = SLOT_RELAYING, BOTH}},

	{"client not reading for 42 s", &stopped, &just_now, {.state = SLOT_RELAYING, BOTH}},
	{"backend not reading for 42 s", &just_now, &stopped, {.state = SLOT_RELAYING, BOTH}},
	{"client not reading for 30 s", &stopped, &just_now, {.state = SLOT_RELAYING, BOTH, .progress_ms = {AGO(30900)}}},
	{"client not reading for 42 s", &stopped, &just_now, {.state = SLOT_RELAYING, BOTH, .progress_ms = {AGO(HOURS(5))}}},
	{"client not reading for 42 s", &stopped, &shrunk, {.state = SLOT_RELAYING, BOTH}},
	{"backend not reading for 5 s", &just_now, &shrunk, {.state = SLOT_RELAYING, BOTH}},
	{"backend not reading for 6 s", &unread, NULL, {.state = SLOT_RELAYING, BOTH, .moved_ms = {AGO(6000), AGO(50)}}},
	{"client has acknowledged nothing for 9 s", NULL, NULL,
		{.state = SLOT_RELAYING, BOTH, .progress_ms = {AGO(9500), AGO(5000)}, .moved_ms = {AGO(100), AGO(100)}}},
	{"client takes bytes slowly", &no_room, &seconds_ago,
		{.state = SLOT_RELAYING, BOTH, .record.connected_ms = 1, .moved_ms = {0, AGO(1500)}}},
	{"moving", &no_room, &just_now, {.state = SLOT_RELAYING, BOTH, .moved_ms = {AGO(500), AGO(100)}}},
	{"backend takes bytes slowly", &seconds_ago, &in_flight,
		{.state = SLOT_RELAYING, BOTH, .record.connected_ms = AGO(9000)}},

	{"moving", &hours_ago, &just_now, {.state = SLOT_RELAYING, BOTH}},
	{"moving", NULL, NULL, {.state = SLOT_RELAYING, BOTH, .moved_ms = {AGO(HOURS(2)), AGO(900)}}},
	{"moving", &just_now, &just_now, {.state = SLOT_RELAYING, BOTH, .record.connected_ms = NOW_MS + 10}},
	{"idle 3 h, last proof of life 8 s ago", &hours_ago,
		&(const struct tcp_facts){.last_ack_ms = 8100, .last_data_ms = HOURS(9)}, {.state = SLOT_RELAYING, BOTH}},
	{"idle 5 m, last proof of life 2 s ago", NULL, &hours_ago,
		{.state = SLOT_RELAYING, BOTH, .moved_ms = {AGO(HOURS(1)), AGO(301000)}}},
	{"no bytes for 2 d 1 h", NULL, NULL, {.state = SLOT_RELAYING, BOTH, .record.connected_ms = AGO(HOURS(49))}},

	{"client has not answered a keepalive for 6 s (2 probes)", &unanswered, &hours_ago, {.state = SLOT_RELAYING, BOTH}},
	{"backend has not answered a keepalive for 9 s (3 probes)", &unanswered, &unanswered_longer,
		{.state = SLOT_RELAYING, BOTH}},
	{"idle 12 s, last proof of life 12 s ago", &one_probe_just_sent, &hours_ago, {.state = SLOT_RELAYING, BOTH}},

	{"client has finished, waiting for the backend's answer for 8 s", &seconds_ago, &seconds_ago,
		{.state = SLOT_RELAYING, BOTH, .flow = {FLOW_SHUT, FLOW_OPEN}}},
	{"backend has finished, waiting for the client to finish for 8 s", &seconds_ago, &seconds_ago,
		{.state = SLOT_RELAYING, BOTH, .flow = {FLOW_OPEN, FLOW_DRAINING}}},

	{"delivering 12345 bytes to client, 3 s without progress (linger_timeout in 27 s)", &owes_bytes, &source,
		{.state = SLOT_CLOSING,
			BOTH,
			.deadline_ms = NOW_MS + 27500,
			.flow = {FLOW_CUT, FLOW_DRAINING},
			.ending = {ENDING_RESET, ENDING_NOW}}},
	{"delivering 12000 bytes to client, 2 s without progress", &owes_bytes, NULL,
		{.state = SLOT_CLOSING,
			CLIENT_ONLY,
			.deadline_ms = AGO(1),
			.flow = {FLOW_CUT, FLOW_DRAINING},
			.progress_ms = {AGO(2500)},
			.ending = {ENDING_RESET, ENDING_NOW}}},
	{"delivering 2000 bytes to backend, no ACK for 12 s (linger_timeout in 120 s)", &owes_its_end, &lost,
		{.state = SLOT_CLOSING,
			BOTH,
			.deadline_ms = NOW_MS + 120000,
			.flow = {FLOW_SHUT, FLOW_SHUT},
			.ending = {ENDING_DELIVER, ENDING_DELIVER}}},
	{"delivering 12000 bytes to client, 3 s without progress (linger_timeout in 7 s)", &owes_bytes, NULL,
		{.state = SLOT_CLOSING,
			CLIENT_ONLY,
			.deadline_ms = NOW_MS + 29000,
			.flow = {FLOW_CUT, FLOW_SHUT},
			.policy.side = {{.linger_timeout_ms = 8000}, {.linger_timeout_ms = 30000}},
			.ending = {ENDING_RESET, ENDING_NOW}}},
	{"waiting for client to acknowledge the end", &owes_nothing, NULL,
		{.state = SLOT_CLOSING, CLIENT_ONLY, .flow = {FLOW_SHUT, FLOW_SHUT}, .ending = {ENDING_DELIVER, ENDING_DELIVER}}},
	{"no ACK from client for 2 s, retry 2", &end_lost, NULL,
		{.state = SLOT_CLOSING, CLIENT_ONLY, .flow = {FLOW_SHUT, FLOW_SHUT}, .ending = {ENDING_DELIVER, ENDING_DELIVER}}},
	{"waiting for backend to close", NULL, &owes_its_end,
		{.state = SLOT_CLOSING,
			BACKEND_ONLY,
			.flow = {FLOW_SHUT, FLOW_SHUT},
			.ending = {ENDING_DELIVER, ENDING_DELIVER}}},
	{"closing", &just_now, &just_now, {.state = SLOT_CLOSING, BOTH, .ending = {ENDING_NOW, ENDING_NOW}}},
	{"waiting for the steward's record", NULL, NULL, {.state = SLOT_RELEASING, .fd = {-1, -1}}},

	/* Whatever a relay may claim. */
	{"?", NULL, NULL, {.state = SLOT_STATES}},
	{"?", NULL, NULL, {.state = 4711}},
	{"idle 11 d, last proof of life 8 s ago", &(const struct tcp_facts){.last_ack_ms = 8100, .last_data_ms = UINT32_MAX},
		&(const struct tcp_facts){.last_data_ms = UINT32_MAX},
		{.state = SLOT_RELAYING, BOTH, .flow = {FLOW_OPEN, FLOW_OPEN}}},
};

static void each_situation_has_its_phrase(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
		const struct situation *s = &situations[i];
		struct slot slot = s->slot;
		struct waits_situation w = {
			.slot = &slot,
			.tcp = {s->client, s->backend},
			.backend = "192.0.2.1:80",
			.now_ms = NOW_MS,
		};
		char text[WAITS_TEXT];

		for (enum side side = SIDE_CLIENT; side <= SIDE_BACKEND; side++) {
			slot.policy.side[side].keepalive_idle_s = 12;
			slot.policy.side[side].connect_timeout_ms = 3000;
		}
		waits_say(&w, text);
		if (strcmp(text, s->phrase) != 0)
			fail_msg("situation %zu: \"%s\" instead of \"%s\"", i, text, s->phrase);
	}
}

static void a_queue_is_told(void **state)
{
	struct slot slot = {.state = SLOT_ACQUIRING, .record.started_ms = AGO(300000)};
	struct waits_situation w = {.slot = &slot, .acquire_queued = true, .now_ms = NOW_MS};
	char text[WAITS_TEXT];

	(void)state;
	waits_say(&w, text);
	assert_string_equal(text, "waiting for acquire 5 m (queued)");
	w.acquire_busy = true;
	waits_say(&w, text);
	assert_string_equal(text, "waiting for acquire 5 m (busy)");
}

static void a_long_address_is_cut(void **state)
{
	struct slot slot = {.state = SLOT_CONNECTING, .tries = UINT16_MAX, .deadline_ms = 1, BOTH};
	char backend[1000], text[WAITS_TEXT];
	struct waits_situation w = {.slot = &slot, .backend = backend, .now_ms = UINT64_MAX};

	(void)state;
	memset(backend, 'x', sizeof backend - 1);
	backend[sizeof backend - 1] = '\0';
	waits_say(&w, text);
	assert_in_range(strlen(text), 150, WAITS_TEXT - 1);
	assert_non_null(strstr(text, "(try 65535)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_situation_has_its_phrase),
		cmocka_unit_test(a_queue_is_told),
		cmocka_unit_test(a_long_address_is_cut),
	};
	return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
