/* Sessions that go from relay to relay, as the roster believes it: two relays of our own making, and what each ledger says. */
#include "steward/listen/listeners.h"
#include "steward/roster/roster.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

enum { SLOTS = 8, GIVER = 1, TAKER = 2, GIVEN = 3, TAKEN = 5 /* its slots */, MOST_TOLD = 8 };
static const uint64_t id = 1000u << 6 | GIVER;

struct told {
	char what; /* 'm'oved, 'e'nded, 'c'onnected */
	struct session_key key, to;
};

struct world {
	uv_loop_t loop;
	struct roster roster;
	struct listeners *listeners;
	struct message_pair name[TAKER + 1];
	struct ledger ledger[TAKER + 1]; /* the relays' mappings */
	int relay[TAKER + 1];            /* their ends of the channels */
	struct told told[MOST_TOLD];
	int count, violations;
	bool closed;
};

static struct told *tell(struct world *w, char what, const struct session_key *key)
{
	assert_true(w->count < MOST_TOLD);
	w->told[w->count] = (struct told){what, *key, {0}};
	return &w->told[w->count++];
}

static void on_moved(void *context, const struct session_key *from, const struct session_key *to)
{
	tell(context, 'm', from)->to = *to;
}

static void on_ended(void *context, const struct session_key *key, const struct session_record *record, bool recovered)
{
	(void)record, (void)recovered;
	tell(context, 'e', key);
}

static void on_connected(void *context, const struct session_key *key, const struct session_record *record)
{
	(void)record;
	tell(context, 'c', key);
}

static void on_violation(void *context, const struct message_pair *pair)
{
	(void)pair;
	((struct world *)context)->violations++;
}

static void on_progress(void *context)
{
	(void)context;
}

static void on_closed(void *context)
{
	((struct world *)context)->closed = true;
}

static const struct roster_host host = {
	.on_moved = on_moved,
	.on_ended = on_ended,
	.on_connected = on_connected,
	.on_violation = on_violation,
	.on_progress = on_progress,
	.on_closed = on_closed,
};

static void add_pair(struct world *w, uint32_t relay)
{
	int channel[2], fd = ledger_create(77, relay, 1, SLOTS, (struct ledger_trial){0});
	char path[64];

	assert_int_equal(ledger_map(&w->ledger[relay], fd, true), 0);
	assert_int_equal(message_channel(channel), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	w->relay[relay] = channel[1];
	w->name[relay] = (struct message_pair){relay, 1};
	assert_int_equal(roster_add(&w->roster, &w->name[relay], open(path, O_RDONLY | O_CLOEXEC), channel[0]), 0);
	close(fd);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	uv_loop_init(&w->loop);
	w->listeners = listeners_new();
	roster_init(&w->roster, &w->loop, w->listeners, &host, w);
	for (uint32_t relay = GIVER; relay <= TAKER; relay++)
		add_pair(w, relay);
	roster_start(&w->roster);
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
	for (int relay = GIVER; relay <= TAKER; relay++) {
		close(w->relay[relay]);
		ledger_unmap(&w->ledger[relay]);
	}
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

/* The session in both ledgers, in these states. */
static void between(struct world *w, enum slot_state giver, enum slot_state taker)
{
	struct slot *given = &w->ledger[GIVER].slots[GIVEN], *taken = &w->ledger[TAKER].slots[TAKEN];

	memset(given, 0, sizeof *given);
	given->record = (struct session_record){.id = id, .service = "plc", .fence = 7, .connected_ms = 1};
	given->policy.hooked = 1;
	*taken = *given;
	given->to = (struct slot_way){.offer = 9, .relay = TAKER, .incarnation = 1, .slot = TAKEN};
	taken->from = (struct slot_way){.offer = 9, .relay = GIVER, .incarnation = 1, .slot = GIVEN};
	atomic_store(&given->state, giver);
	atomic_store(&taken->state, taker);
	for (int relay = GIVER; relay <= TAKER; relay++)
		atomic_store(&w->ledger[relay].header->high_water, SLOTS);
	w->ledger[TAKER].header->arrivals = 1;
}

static void say(struct world *w, uint32_t relay, enum message_kind kind, uint32_t slot)
{
	struct message_session body = {.id = id, .slot = slot};

	assert_int_equal(message_send(w->relay[relay], kind, &body, NULL), 0);
}

static void assert_told(struct world *w, int i, char what, uint32_t relay, uint32_t slot)
{
	assert_true(i < w->count);
	assert_int_equal(w->told[i].what, what);
	assert_int_equal(w->told[i].key.id, id);
	assert_int_equal(w->told[i].key.relay, relay);
	assert_int_equal(w->told[i].key.incarnation, 1);
	assert_int_equal(w->told[i].key.slot, slot);
}

static void assert_moved(struct world *w, int i)
{
	assert_told(w, i, 'm', GIVER, GIVEN);
	assert_int_equal(w->told[i].to.relay, TAKER);
	assert_int_equal(w->told[i].to.slot, TAKEN);
	assert_told(w, i + 1, 'c', TAKER, TAKEN); /* the event may be behind */
}

static void a_giver_says_that_it_is_gone(void **state)
{
	struct world *w = *state;
	struct message m;
	int r = 0;

	between(w, SLOT_GONE, SLOT_RELAYING);
	say(w, GIVER, MESSAGE_MOVED, GIVEN);
	LOOP_UNTIL(&w->loop, w->count == 2);
	assert_moved(w, 0);
	roster_durable(&w->roster, &w->told[0].key);
	LOOP_UNTIL(&w->loop,
		(r = message_receive(w->relay[GIVER], &m, ~(message_set)0)) == 1 && m.header.kind == MESSAGE_END_DURABLE);
	assert_int_equal(m.body.session.slot, GIVEN);
	assert_int_equal(w->violations, 0);
}

static void what_is_over_is_heard_of_before_its_giver(void **state)
{
	struct world *w = *state;

	between(w, SLOT_GONE, SLOT_RELEASING);
	say(w, TAKER, MESSAGE_ENDED, TAKEN);
	LOOP_UNTIL(&w->loop, w->count == 3);
	assert_moved(w, 0);
	assert_told(w, 2, 'e', TAKER, TAKEN);
	assert_int_equal(w->violations, 0);
}

/* What the giver has not given, the taker can only end under its own name, which means nothing to any lease. */
static void what_was_not_given_cannot_be_claimed(void **state)
{
	struct world *w = *state;
	static const enum slot_state states[] = {SLOT_RELAYING, SLOT_LEAVING, SLOT_FREE};

	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
		w->count = 0;
		between(w, states[i], SLOT_RELEASING);
		say(w, TAKER, MESSAGE_ENDED, TAKEN);
		LOOP_UNTIL(&w->loop, w->count > 0);
		assert_int_equal(w->count, 1);
		assert_told(w, 0, 'e', TAKER, TAKEN);
	}
	/* Nor if it went somewhere else, or it is not even said that it came. */
	w->count = 0;
	between(w, SLOT_GONE, SLOT_RELEASING);
	w->ledger[GIVER].slots[GIVEN].to.slot = TAKEN + 1;
	say(w, TAKER, MESSAGE_ENDED, TAKEN);
	LOOP_UNTIL(&w->loop, w->count > 0);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->violations, 0);
	w->ledger[TAKER].slots[TAKEN].from.offer = 0;
	say(w, TAKER, MESSAGE_ENDED, TAKEN);
	LOOP_UNTIL(&w->loop, w->violations == 1);
	assert_int_equal(w->count, 1);
}

static void a_lost_giver_has_lost_what_was_not_gone(void **state)
{
	struct world *w = *state;

	between(w, SLOT_LEAVING, SLOT_ARRIVING);
	roster_lose(&w->roster, &w->name[GIVER]);
	assert_int_equal(w->count, 1);
	assert_told(w, 0, 'e', GIVER, GIVEN);
}

static void a_lost_giver_has_given_what_was_gone(void **state)
{
	struct world *w = *state;

	between(w, SLOT_GONE, SLOT_ARRIVING);
	roster_lose(&w->roster, &w->name[GIVER]);
	assert_int_equal(w->count, 2);
	assert_moved(w, 0);
}

static void a_lost_taker_has_not_lost_what_was_not_gone(void **state)
{
	struct world *w = *state;

	between(w, SLOT_LEAVING, SLOT_ARRIVING);
	roster_lose(&w->roster, &w->name[TAKER]);
	assert_int_equal(w->count, 0);
}

static void a_lost_taker_has_lost_what_it_was_given(void **state)
{
	struct world *w = *state;

	between(w, SLOT_GONE, SLOT_ARRIVING);
	roster_lose(&w->roster, &w->name[TAKER]);
	assert_int_equal(w->count, 2);
	assert_told(w, 0, 'e', GIVER, GIVEN); /* whichever of the two its lease is known under */
	assert_told(w, 1, 'e', TAKER, TAKEN);
	/* The giver says it later, if it has not yet. */
	say(w, GIVER, MESSAGE_MOVED, GIVEN);
	LOOP_UNTIL(&w->loop, w->count == 3);
	assert_told(w, 2, 'e', GIVER, GIVEN);
}

static void assert_counts(const struct world *w, uint64_t giver, uint64_t taker)
{
	assert_int_equal(roster_sessions_in(&w->roster, GIVER), giver);
	assert_int_equal(roster_sessions_in(&w->roster, TAKER), taker);
}

static void it_is_found_with_whoever_has_it(void **state)
{
	struct world *w = *state;
	uint32_t relay, slot;
	struct slot copy;

	between(w, SLOT_LEAVING, SLOT_ARRIVING);
	assert_int_equal(roster_find(&w->roster, id, &relay, &slot, &copy), 0);
	assert_int_equal(relay, GIVER);
	assert_int_equal(slot, GIVEN);
	assert_counts(w, 1, 0);
	between(w, SLOT_GONE, SLOT_ARRIVING);
	assert_counts(w, 1, 0);
	between(w, SLOT_GONE, SLOT_RELAYING);
	assert_counts(w, 0, 1);
	assert_int_equal(roster_find(&w->roster, id, &relay, &slot, &copy), 0);
	assert_int_equal(relay, TAKER);
	assert_int_equal(slot, TAKEN);
	/* A lease that is not known to have gone along lives as long as its giver says so, if the taker is there. */
	assert_true(roster_lives(&w->roster, &(struct session_key){GIVER, 1, GIVEN, id}, &copy));
	assert_true(roster_lives(&w->roster, &(struct session_key){TAKER, 1, TAKEN, id}, &copy));
	w->ledger[GIVER].slots[GIVEN].to.incarnation = 2;
	assert_false(roster_lives(&w->roster, &(struct session_key){GIVER, 1, GIVEN, id}, &copy));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_giver_says_that_it_is_gone),
		T(what_is_over_is_heard_of_before_its_giver),
		T(what_was_not_given_cannot_be_claimed),
		T(a_lost_giver_has_lost_what_was_not_gone),
		T(a_lost_giver_has_given_what_was_gone),
		T(a_lost_taker_has_not_lost_what_was_not_gone),
		T(a_lost_taker_has_lost_what_it_was_given),
		T(it_is_found_with_whoever_has_it),
	};

	log_to_nowhere();
	return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
