/* The roster against a relay of our own making: a channel, a ledger, and what it may and may not say. */
#include "steward/listen/listeners.h"
#include "steward/roster/pair.h"
#include "steward/roster/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

enum { SLOTS = 16, RELAY = 3 };
static const message_set any = ~(message_set)0;

struct world {
	uv_loop_t loop;
	struct roster roster;
	struct listeners *listeners;
	struct ledger ledger; /* the relay's mapping */
	int relay;            /* its end of the channel */
	struct message_pair name;
	int acquired, ended, violations, progress, full, began;
	struct message_reclaimed reclaimed;
	bool closed, recovered;
	struct session_key key;
	uint64_t connected; /* the last of which that was told */
	struct session_record record;
	char resolve[ADDRESS_TEXT_SIZE];
};

static void on_acquire(void *context, const struct session_key *key, const struct session_record *record)
{
	struct world *w = context;

	w->acquired++;
	w->key = *key;
	w->record = *record;
}

static void on_ended(void *context, const struct session_key *key, const struct session_record *record, bool recovered)
{
	struct world *w = context;

	w->ended++;
	w->key = *key;
	w->record = *record;
	w->recovered = recovered;
}

static void on_resolve(void *context, const char *backend)
{
	struct world *w = context;

	strncpy(w->resolve, backend, sizeof w->resolve - 1);
}

static void on_violation(void *context, const struct message_pair *pair)
{
	struct world *w = context;

	assert_memory_equal(pair, &w->name, sizeof *pair);
	w->violations++;
}

static void on_progress(void *context)
{
	((struct world *)context)->progress++;
}

static void on_closed(void *context)
{
	((struct world *)context)->closed = true;
}

static void on_connected(void *context, const struct session_key *key, const struct session_record *record)
{
	struct world *w = context;
	assert_int_equal(record->id, key->id);
	w->connected = key->id;
}

static void on_full(void *context, const struct session_key *key, const struct slot *slot)
{
	struct world *w = context;

	w->full++;
	w->key = *key;
	w->record = slot->record;
}

static void on_reclaimed(void *context, uint32_t relay, const struct message_reclaimed *reclaimed)
{
	struct world *w = context;

	assert_int_equal(relay, RELAY);
	w->reclaimed = *reclaimed;
}

static void on_relay_began(void *context, uint32_t relay)
{
	struct world *w = context;

	assert_int_equal(relay, RELAY);
	w->began++;
}

static const struct roster_host host = {
	.on_acquire = on_acquire,
	.on_ended = on_ended,
	.on_connected = on_connected,
	.on_full = on_full,
	.on_reclaimed = on_reclaimed,
	.on_relay_began = on_relay_began,
	.on_resolve = on_resolve,
	.on_violation = on_violation,
	.on_progress = on_progress,
	.on_closed = on_closed,
};

static int reader_of(int fd)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void add_pair(struct world *w)
{
	int channel[2], fd = ledger_create(77, w->name.relay, w->name.incarnation, SLOTS, (struct ledger_trial){0});

	assert_true(fd >= 0);
	assert_int_equal(ledger_map(&w->ledger, fd, true), 0);
	assert_int_equal(message_channel(channel), 0);
	w->relay = channel[1];
	assert_int_equal(roster_add(&w->roster, &w->name, reader_of(fd), channel[0]), 0);
	close(fd);
}

static int make_plan(uint32_t generation)
{
	struct plan_service service = {.name = "plc", .id = 1, .backend_count = 1, .policy.hooked = 1};
	struct plan_backend backend = {.id = 9, .address = "unix:/run/plc.sock"};
	struct plan_source source = {.generation = generation,
		.relays = 1,
		.services = &service,
		.service_count = 1,
		.backends = &backend,
		.backend_count = 1};

	service.policy.side[SIDE_BACKEND].connect_timeout_ms = 1000;
	return plan_create(&source);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	uv_loop_init(&w->loop);
	w->listeners = listeners_new();
	w->name = (struct message_pair){RELAY, 1};
	roster_init(&w->roster, &w->loop, w->listeners, &host, w);
	add_pair(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	roster_close(&w->roster);
	while (!w->closed)
		uv_run(&w->loop, UV_RUN_ONCE);
	roster_free(&w->roster);
	listeners_free(w->listeners);
	close(w->relay);
	ledger_unmap(&w->ledger);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static void expect(struct world *w, enum message_kind kind, struct message *ret)
{
	int r = 0;

	LOOP_UNTIL(&w->loop, (r = message_receive(w->relay, ret, any)) != 0);
	assert_int_equal(r, 1);
	assert_string_equal(message_name(ret->header.kind), message_name(kind));
}

static void greet(struct world *w)
{
	struct message m;

	roster_start(&w->roster);
	expect(w, MESSAGE_STEWARD_HELLO, &m);
}

static uint64_t begin_session(struct world *w, uint32_t index, enum slot_state state)
{
	struct slot *s = &w->ledger.slots[index];
	static uint64_t n = 100;

	memset(s, 0, sizeof *s);
	s->record.id = ++n << 6 | RELAY;
	s->record.started_ms = 1;
	s->policy.hooked = 1;
	strcpy(s->record.service, "plc");
	atomic_store(&s->state, state);
	if (atomic_load(&w->ledger.header->high_water) <= index)
		atomic_store(&w->ledger.header->high_water, index + 1);
	return s->record.id;
}

static void say_session(struct world *w, enum message_kind kind, uint64_t id, uint32_t slot, int fd)
{
	struct message_session body = {.id = id, .slot = slot};

	assert_int_equal(message_send(w->relay, kind, &body, fd >= 0 ? &fd : NULL), 0);
}

/* A connected pair of TCP sockets: [0] as accepted by us, [1] the client's. */
static void connected(int ret[2])
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof to;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &length), 0);
	ret[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[1], (struct sockaddr *)&to, sizeof to), 0);
	ret[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret[0] >= 0);
	close(listener);
}

static void what_was_said_before_is_dropped_and_all_is_greeted(void **state)
{
	struct world *w = *state;
	struct message m;
	uint64_t id = begin_session(w, 0, SLOT_RELEASING);

	say_session(w, MESSAGE_ENDED, id, 0, -1);
	assert_int_equal(roster_set_plan(&w->roster, make_plan(5), 5), 0);
	roster_start(&w->roster);
	expect(w, MESSAGE_STEWARD_HELLO, &m);
	expect(w, MESSAGE_PLAN, &m);
	assert_int_equal(m.body.generation.generation, 5);
	message_close_fds(&m);
	assert_int_equal(w->ended, 0);
	assert_false(roster_planned(&w->roster));
	message_send(w->relay, MESSAGE_PLAN_TAKEN, &(struct message_generation){5}, NULL);
	LOOP_UNTIL(&w->loop, w->progress > 0);
	assert_true(roster_has_plan(&w->roster, RELAY));
	assert_false(roster_has(&w->roster, 0xf)); /* pairs 0 to 2 are missing */
}

static void a_claim_takes_its_addresses_from_the_socket(void **state)
{
	struct world *w = *state;
	struct message_verdict verdict = {.verdict = VERDICT_GO, .fence = 42};
	struct sockaddr_in client;
	socklen_t length = sizeof client;
	struct message m;
	uint64_t id;
	int fds[2];

	greet(w);
	id = begin_session(w, 2, SLOT_ACQUIRING);
	w->ledger.slots[2].record.client = (struct endpoint){.family = AF_INET, .port = 1, .ip = {9, 9, 9, 9}};
	connected(fds);
	say_session(w, MESSAGE_ACQUIRE, id, 2, fds[0]);
	LOOP_UNTIL(&w->loop, w->acquired == 1);
	assert_int_equal(getsockname(fds[1], (struct sockaddr *)&client, &length), 0);
	assert_int_equal(w->record.client.port, ntohs(client.sin_port));
	assert_int_equal(w->record.client.ip[0], 127);
	assert_int_equal(w->key.id, id);
	assert_int_equal(w->key.relay, RELAY);
	assert_int_equal(w->key.incarnation, 1);
	verdict.id = id;
	verdict.slot = 2;
	roster_verdict(&w->roster, &w->key, &verdict);
	expect(w, MESSAGE_VERDICT, &m);
	assert_int_equal(m.body.verdict.fence, 42);
	/* Said again: asked again. Leases answer with what they know. */
	say_session(w, MESSAGE_ACQUIRE, id, 2, fds[0]);
	LOOP_UNTIL(&w->loop, w->acquired == 2);
	/* It has moved on: an old message is no fault. */
	atomic_store(&w->ledger.slots[2].state, SLOT_CONNECTING);
	say_session(w, MESSAGE_ACQUIRE, id, 2, fds[0]);
	say_session(w, MESSAGE_ACQUIRE, id - 64, 2, fds[0]);
	message_send(w->relay, MESSAGE_PLAN_TAKEN, &(struct message_generation){1}, NULL);
	LOOP_UNTIL(&w->loop, w->progress > 0);
	assert_int_equal(w->acquired, 2);
	assert_int_equal(w->violations, 0);
	close(fds[0]);
	close(fds[1]);
}

static void a_reset_client_is_refused_without_a_lease(void **state)
{
	static const struct linger now = {1, 0};
	struct world *w = *state;
	struct message m;
	uint64_t id;
	int fds[2];

	greet(w);
	id = begin_session(w, 0, SLOT_ACQUIRING);
	connected(fds);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fds[1]);
	say_session(w, MESSAGE_ACQUIRE, id, 0, fds[0]);
	expect(w, MESSAGE_VERDICT, &m);
	assert_int_equal(m.body.verdict.verdict, VERDICT_REFUSE);
	assert_int_equal(m.body.verdict.reason.who, WHO_CLIENT);
	assert_int_equal(w->acquired, 0);
	close(fds[0]);
}

static void ends_are_told_once_durable_and_again_when_asked(void **state)
{
	struct world *w = *state;
	struct message m;
	uint64_t id;

	greet(w);
	id = begin_session(w, 1, SLOT_RELEASING);
	say_session(w, MESSAGE_ENDED, id, 1, -1);
	LOOP_UNTIL(&w->loop, w->ended == 1);
	assert_false(w->recovered);
	roster_durable(&w->roster, &w->key);
	expect(w, MESSAGE_END_DURABLE, &m);
	assert_int_equal(m.body.session.id, id);
	assert_int_equal(m.body.session.slot, 1);
	atomic_store(&w->ledger.slots[1].state, SLOT_FREE);
	say_session(w, MESSAGE_ENDED, id, 1, -1);
	message_send(w->relay, MESSAGE_PLAN_TAKEN, &(struct message_generation){1}, NULL);
	LOOP_UNTIL(&w->loop, w->progress > 0);
	assert_int_equal(w->ended, 1);
	assert_int_equal(w->violations, 0);
}

static void say_end_of_living(struct world *w)
{
	say_session(w, MESSAGE_ENDED, begin_session(w, 0, SLOT_RELAYING), 0, -1);
}

static void say_slot_beyond(struct world *w)
{
	say_session(w, MESSAGE_ENDED, 1 << 6 | RELAY, SLOTS, -1);
}

static void say_other_relays_session(struct world *w)
{
	say_session(w, MESSAGE_ENDED, begin_session(w, 0, SLOT_RELEASING) ^ 1, 0, -1);
}

static void say_supervisors_words(struct world *w)
{
	message_send(w->relay, MESSAGE_STOP, &(struct message_deadline){1}, NULL);
}

static void say_with_no_socket(struct world *w)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	say_session(w, MESSAGE_ACQUIRE, begin_session(w, 0, SLOT_ACQUIRING), 0, fd);
	close(fd);
}

/* It has a peer, and the address of that is for the relay to choose. */
static void say_with_a_datagram_socket(struct world *w)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	say_session(w, MESSAGE_ACQUIRE, begin_session(w, 0, SLOT_ACQUIRING), 0, fd);
	close(fd);
}

/* Likewise. */
static void say_with_what_it_connected(struct world *w)
{
	int fds[2];

	connected(fds);
	say_session(w, MESSAGE_ACQUIRE, begin_session(w, 0, SLOT_ACQUIRING), 0, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void say_with_a_listener(struct world *w)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(listen(fd, 1), 0);
	say_session(w, MESSAGE_ACQUIRE, begin_session(w, 0, SLOT_ACQUIRING), 0, fd);
	close(fd);
}

static void say_nothing_at_all(struct world *w)
{
	assert_int_equal(send(w->relay, "", 0, 0), 0);
}

static void say_nonsense(struct world *w)
{
	assert_int_equal(send(w->relay, "xy", 2, 0), 2);
}

static void violations_ask_for_another_relay(void **state)
{
	static void (*const wrongs[])(struct world *) = {say_end_of_living, say_slot_beyond, say_other_relays_session,
		say_supervisors_words, say_with_no_socket, say_with_a_datagram_socket, say_with_what_it_connected,
		say_with_a_listener, say_nothing_at_all, say_nonsense};
	struct world *w = *state;

	greet(w);
	for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
		struct message_hello hello = {.starts = (uint32_t)i};

		w->violations = w->progress = 0;
		wrongs[i](w);
		wrongs[i](w);
		LOOP_UNTIL(&w->loop, w->violations > 0);
		/* Asked for once, until its successor says hello. */
		message_send(w->relay, MESSAGE_RELAY_HELLO, &hello, NULL);
		LOOP_UNTIL(&w->loop, w->progress > 0);
		assert_int_equal(w->violations, 1);
	}
	assert_int_equal(w->acquired + w->ended, 0);
}

static void make_events(struct world *w, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t n = atomic_load(&w->ledger.header->events_made) + 1;
		struct ledger_event *e = &w->ledger.events[n & (LEDGER_EVENTS - 1)];

		memset(e, 0, sizeof *e);
		e->kind = EVENT_ENDED;
		e->record.id = n << 6 | RELAY;
		e->record.reason = (struct reason){.who = WHO_CLIENT, .how = HOW_CLOSED};
		strcpy(e->record.service, "plc");
		atomic_store(&e->sequence, n);
		atomic_store(&w->ledger.header->events_made, n);
	}
}

static void events_are_taken_and_lost_ones_counted(void **state)
{
	struct world *w = *state;
	struct message m;
	uint64_t taken = 0;

	greet(w);
	make_events(w, 10);
	message_send(w->relay, MESSAGE_EVENTS, NULL, NULL);
	expect(w, MESSAGE_EVENTS_TAKEN, &m);
	assert_int_equal(m.body.taken.number, 10);
	assert_int_equal(w->roster.ends.of[WHO_CLIENT][HOW_CLOSED], 10);
	/* A lost EVENTS loses nothing. */
	make_events(w, 1);
	roster_tick(&w->roster);
	expect(w, MESSAGE_EVENTS_TAKEN, &m);
	assert_int_equal(m.body.taken.number, 11);
	/* More than the ring holds. */
	uint64_t id = begin_session(w, 5, SLOT_RELAYING);
	w->ledger.slots[5].record.fence = w->ledger.slots[5].record.connected_ms = 1;
	make_events(w, LEDGER_EVENTS + 25);
	message_send(w->relay, MESSAGE_EVENTS, NULL, NULL);
	while (taken < 11 + LEDGER_EVENTS + 25) {
		expect(w, MESSAGE_EVENTS_TAKEN, &m);
		taken = m.body.taken.number;
	}
	assert_int_equal(w->roster.events_lost, 25);
	/* One of those may have said that this one is connected. */
	assert_int_equal(w->connected, id);
	assert_int_equal(w->roster.ends.of[WHO_CLIENT][HOW_CLOSED], 11 + LEDGER_EVENTS);
	/* A count that goes back, or far ahead, is a lie that costs nothing. */
	atomic_store(&w->ledger.header->events_made, 3);
	roster_tick(&w->roster);
	atomic_store(&w->ledger.header->events_made, UINT64_MAX - 1);
	roster_tick(&w->roster);
	atomic_store(&w->ledger.header->events_made, UINT64_MAX);
	roster_lose(&w->roster, &w->name);
	assert_int_equal(w->violations, 0);
}

static void note_count(void *visitor, const char *reason, uint64_t count)
{
	char *text = visitor;

	sprintf(text + strlen(text), "%s=%" PRIu64 " ", reason, count);
}

static void ends_are_counted_by_reason(void **state)
{
	struct end_counts counts = {0};
	char text[256] = "";

	(void)state;
	end_counts_add(&counts, &(struct reason){.who = WHO_SYSTEM, .how = HOW_LOST});
	end_counts_add(&counts, &(struct reason){.who = WHO_CLIENT, .how = HOW_RESET});
	end_counts_add(&counts, &(struct reason){.who = WHO_SYSTEM, .how = HOW_LOST});
	/* A relay's claim. */
	end_counts_add(&counts, &(struct reason){.who = 255, .how = HOW_COUNT});
	end_counts_each(&counts, note_count, text);
	assert_string_equal(text, "client.reset=1 system.lost=2 ?.?=1 ");
}

static void a_lost_pair_ends_its_sessions(void **state)
{
	struct world *w = *state;
	struct ledger old;
	int old_channel;
	uint64_t id;

	greet(w);
	id = begin_session(w, 0, SLOT_RELAYING);
	atomic_store(&w->ledger.slots[0].moved[SIDE_CLIENT], 1234);
	begin_session(w, 1, SLOT_REFUSING);
	begin_session(w, 2, SLOT_FREE);
	old = w->ledger;
	old_channel = w->relay;
	roster_lose(&w->roster, &(struct message_pair){RELAY, 7}); /* another one: nothing */
	assert_int_equal(w->ended, 0);
	roster_lose(&w->roster, &w->name);
	assert_int_equal(w->ended, 1);
	assert_true(w->recovered);
	assert_int_equal(w->key.id, id);
	assert_int_equal(w->record.reason.who, WHO_SYSTEM);
	assert_int_equal(w->record.reason.how, HOW_LOST);
	assert_int_equal(w->record.bytes[SIDE_CLIENT], 1234);
	/* Its answer has nowhere to go, and that is all right. */
	roster_durable(&w->roster, &w->key);
	w->name.incarnation = 2;
	add_pair(w);
	greet(w);
	ledger_unmap(&old);
	close(old_channel);
	assert_int_equal(roster_incarnation(&w->roster, RELAY), 2);
}

static void answers_wait_for_a_relay_that_is_behind(void **state)
{
	struct world *w = *state;
	struct message_verdict verdict = {.verdict = VERDICT_GO};
	struct session_key key = {.relay = RELAY, .incarnation = 1};
	struct message m;
	enum { MANY = 2000 };

	greet(w);
	for (uint64_t i = 0; i < MANY; i++) {
		verdict.id = i;
		roster_verdict(&w->roster, &key, &verdict);
	}
	for (uint64_t i = 0; i < MANY; i++) {
		expect(w, MESSAGE_VERDICT, &m);
		assert_int_equal(m.body.verdict.id, i);
	}
}

static void a_session_is_killed_by_name(void **state)
{
	static const struct reason killed = {.who = WHO_OPERATOR, .how = HOW_KILLED};
	struct world *w = *state;
	struct message m;
	uint64_t id;

	greet(w);
	id = begin_session(w, 4, SLOT_RELAYING);
	assert_int_equal(roster_kill(&w->roster, id ^ 64, false, &killed), -ENOENT);
	assert_int_equal(roster_kill(&w->roster, id ^ 1, false, &killed), -ENOENT);
	assert_int_equal(roster_kill(&w->roster, id, true, &killed), 0);
	expect(w, MESSAGE_KILL, &m);
	assert_int_equal(m.body.kill.slot, 4);
	assert_int_equal(m.body.kill.now, 1);
}

static void a_backend_to_resolve_is_named_by_its_address(void **state)
{
	struct world *w = *state;
	struct message_session ask = {.backend_id = 9};

	assert_int_equal(roster_set_plan(&w->roster, make_plan(1), 1), 0);
	greet(w);
	message_send(w->relay, MESSAGE_RESOLVE, &ask, NULL);
	LOOP_UNTIL(&w->loop, w->resolve[0]);
	assert_string_equal(w->resolve, "unix:/run/plc.sock");
}

static void a_full_service_is_told_and_answered(void **state)
{
	struct world *w = *state;
	struct message_reclaim order = {.round = 7, .service_id = 1, .timeout_ms = 1500};
	struct message m;
	uint64_t id;

	greet(w);
	id = begin_session(w, 3, SLOT_WAITING);
	say_session(w, MESSAGE_FULL, id, 3, -1);
	LOOP_UNTIL(&w->loop, w->full == 1);
	assert_int_equal(w->key.id, id);
	assert_false(roster_reclaim(&w->roster, RELAY + 1, &order));
	assert_true(roster_reclaim(&w->roster, RELAY, &order));
	expect(w, MESSAGE_RECLAIM, &m);
	assert_memory_equal(&m.body.reclaim, &order, sizeof order);
	message_send(
		w->relay, MESSAGE_RECLAIMED, &(struct message_reclaimed){.round = 7, .asked = 3, .silent = 1, .left = 1}, NULL);
	LOOP_UNTIL(&w->loop, w->reclaimed.round == 7);
	assert_int_equal(w->reclaimed.silent, 1);
	roster_room(&w->roster, &w->key);
	expect(w, MESSAGE_ROOM, &m);
	assert_int_equal(m.body.session.id, id);
	assert_int_equal(m.body.session.slot, 3);
	/* It has moved on, or is not there any more: an old message is no fault. */
	atomic_store(&w->ledger.slots[3].state, SLOT_CONNECTING);
	say_session(w, MESSAGE_FULL, id, 3, -1);
	say_session(w, MESSAGE_FULL, id - 64, 3, -1);
	message_send(w->relay, MESSAGE_RELAY_HELLO, &(struct message_hello){.generation = 1}, NULL);
	LOOP_UNTIL(&w->loop, w->began == 1);
	assert_int_equal(w->full, 1);
	assert_int_equal(w->violations, 0);
}

static void more_silent_than_sessions_is_a_violation(void **state)
{
	static const struct message_reclaimed wrong[] = {
		{.asked = SLOTS + 1},
		{.asked = 2, .silent = 3},
		{.asked = 2, .left = 3},
	};
	struct world *w = *state;

	greet(w);
	for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); i++) {
		message_send(w->relay, MESSAGE_RECLAIMED, &wrong[i], NULL);
		LOOP_UNTIL(&w->loop, w->violations == i + 1);
		message_send(w->relay, MESSAGE_RELAY_HELLO, &(struct message_hello){.generation = 1}, NULL);
		LOOP_UNTIL(&w->loop, w->began == i + 1);
	}
	say_session(w, MESSAGE_FULL, 1 << 6 | RELAY, SLOTS, -1);
	LOOP_UNTIL(&w->loop, w->violations == 4);
	assert_int_equal(w->reclaimed.asked, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_was_said_before_is_dropped_and_all_is_greeted),
		T(a_claim_takes_its_addresses_from_the_socket),
		T(a_reset_client_is_refused_without_a_lease),
		T(ends_are_told_once_durable_and_again_when_asked),
		T(violations_ask_for_another_relay),
		T(events_are_taken_and_lost_ones_counted),
		T(ends_are_counted_by_reason),
		T(a_lost_pair_ends_its_sessions),
		T(answers_wait_for_a_relay_that_is_behind),
		T(a_session_is_killed_by_name),
		T(a_backend_to_resolve_is_named_by_its_address),
		T(a_full_service_is_told_and_answered),
		T(more_silent_than_sessions_is_a_violation),
	};

	log_to_nowhere();
	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
