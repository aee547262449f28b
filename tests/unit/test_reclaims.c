/* Rounds of asking holders, with relays and newcomers of our own making. */
#include "steward/reclaim/reclaims.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loop.h"

enum { RELAYS = 2 };

struct world {
	uv_loop_t loop;
	struct reclaims *reclaims;
	struct message_reclaim order; /* the last */
	int asked[RELAYS], tried, again, refused;
	uint64_t again_id; /* the last */
	uint32_t giving_back;
};

static bool ask(void *context, uint32_t relay, const struct message_reclaim *order)
{
	struct world *w = context;

	if (relay >= RELAYS)
		return false;
	w->asked[relay]++;
	w->order = *order;
	return true;
}

static void try_places(void *context, const struct message_reclaim *order)
{
	struct world *w = context;

	assert_int_equal(order->service_id, 5);
	w->tried++;
}

static void acquire_again(void *context, const struct session_key *key, const struct session_record *record)
{
	struct world *w = context;

	assert_int_equal(record->id, key->id);
	w->again++;
	w->again_id = key->id;
}

static void refuse_busy(void *context, const struct session_key *key, const struct session_record *record)
{
	struct world *w = context;

	assert_true(key->id > 0);
	assert_int_equal(record->id, key->id);
	w->refused++;
}

static uint32_t giving_back(void *context, const char *service)
{
	assert_string_equal(service, "seats");
	return ((struct world *)context)->giving_back;
}

static const struct reclaims_host host = {ask, try_places, acquire_again, refuse_busy, giving_back};
static const struct reclaim_terms terms = {5, "seats", 1000, 400};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	uv_loop_init(&w->loop);
	assert_int_equal(reclaims_new(&w->reclaims, &w->loop, &host, w), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	reclaims_close(w->reclaims);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static void answer(struct world *w, uint32_t relay, uint32_t asked, uint32_t silent, uint32_t left)
{
	const struct message_reclaimed body = {.round = w->order.round, .asked = asked, .silent = silent, .left = left};

	reclaims_on_answer(w->reclaims, relay, &body);
}

static bool come(struct world *w, uint64_t id)
{
	const struct session_record record = {.id = id};

	return reclaims_busy(w->reclaims, &terms, &(struct session_key){.id = id}, &record);
}

static void turn(struct world *w)
{
	for (int i = 0; i < 3; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void newcomers_share_a_round_and_its_word_stands(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 200; i++)
		assert_true(reclaims_full(w->reclaims, &terms, NULL));
	assert_int_equal(w->asked[0] + w->asked[1], 2);
	assert_int_equal(w->order.timeout_ms, 1000);
	assert_int_equal(w->order.holders, HOLDERS_COUNTED);
	assert_int_equal(w->order.client.family, AF_UNSPEC);
	answer(w, 0, 3, 0, 0);
	turn(w);
	assert_int_equal(w->tried, 0); /* the other relay is still asking */
	answer(w, 1, 2, 1, 1);
	turn(w);
	assert_int_equal(w->tried, 0); /* one is still on its way out */
	answer(w, 1, 2, 1, 0);
	turn(w);
	assert_int_equal(w->tried, 1);
	assert_false(reclaims_full(w->reclaims, &terms, NULL));
	assert_int_equal(w->asked[0], 1);
	LOOP_UNTIL(&w->loop, reclaims_full(w->reclaims, &terms, NULL));
	assert_int_equal(w->asked[0], 2);
}

static void each_client_has_a_round_of_its_own(void **state)
{
	const struct endpoint one = {.family = AF_INET, .port = 7, .ip = {192, 0, 2, 1}},
			      same = {.family = AF_INET, .port = 8, .ip = {192, 0, 2, 1}},
			      other = {.family = AF_INET, .port = 7, .ip = {192, 0, 2, 2}};
	struct world *w = *state;

	assert_true(reclaims_full(w->reclaims, &terms, &one));
	assert_int_equal(w->order.client.ip[3], 1);
	assert_true(reclaims_full(w->reclaims, &terms, &same));
	assert_int_equal(w->asked[0], 1);
	assert_true(reclaims_full(w->reclaims, &terms, &other));
	assert_true(reclaims_full(w->reclaims, &terms, NULL));
	assert_true(come(w, 1));
	assert_int_equal(w->asked[0], 4);
}

static void rounds_and_newcomers_are_bounded(void **state)
{
	struct endpoint client = {.family = AF_INET6};
	struct world *w = *state;
	int rounds = 0, newcomers = 0;

	while (newcomers < 5000 && come(w, (uint64_t)newcomers + 1))
		newcomers++;
	assert_int_equal(newcomers, 1024);
	while (rounds < 5000 && reclaims_full(w->reclaims, &terms, &client)) {
		rounds++;
		memcpy(client.ip, &rounds, sizeof rounds);
	}
	assert_int_equal(rounds, 255);
	answer(w, 0, 0, 0, 0); /* the last of them */
	answer(w, 1, 0, 0, 0);
	turn(w);
	assert_false(reclaims_full(w->reclaims, &terms, &client));
	assert_int_equal(w->tried, 1);
	LOOP_UNTIL(&w->loop, reclaims_full(w->reclaims, &terms, &client)); /* its word does not stand any more */
}

static void what_is_given_back_goes_to_who_came_first(void **state)
{
	struct world *w = *state;

	for (uint64_t id = 1; id <= 5; id++)
		assert_true(come(w, id));
	assert_true(reclaims_keep(w->reclaims, &(struct session_key){.id = 5}));
	reclaims_forget(w->reclaims, &(struct session_key){.id = 5});
	reclaims_forget(w->reclaims, &(struct session_key){.id = 2});
	assert_false(reclaims_keep(w->reclaims, &(struct session_key){.id = 5}));
	assert_true(come(w, 6));
	/* One ended by himself, meanwhile. */
	reclaims_on_given_back(w->reclaims, "others");
	reclaims_on_given_back(w->reclaims, "seats");
	turn(w);
	assert_int_equal(w->again, 1);
	assert_int_equal(w->again_id, 1);
	answer(w, 0, 1, 1, 1);
	answer(w, 1, 0, 0, 0);
	w->giving_back = 1;
	answer(w, 0, 1, 1, 0);
	turn(w);
	assert_int_equal(w->refused, 0);
	reclaims_on_given_back(w->reclaims, "seats");
	turn(w);
	assert_int_equal(w->again, 2);
	assert_int_equal(w->again_id, 3);
	assert_int_equal(w->refused, 2);
	assert_false(come(w, 7));
}

static void no_holder_at_all_is_no_wait(void **state)
{
	struct world *w = *state;

	assert_true(come(w, 1));
	answer(w, 0, 0, 0, 0);
	answer(w, 1, 0, 0, 0);
	turn(w);
	assert_int_equal(w->refused, 1);
}

static void nobody_is_waited_for_for_ever(void **state)
{
	struct world *w = *state;
	uint64_t begun_ms = uv_hrtime() / 1000000;

	/* A relay that does not answer; then a release that does not end. */
	assert_true(come(w, 1));
	answer(w, 0, 1, 1, 0);
	w->giving_back = 1;
	LOOP_UNTIL(&w->loop, w->refused == 1);
	assert_true(uv_hrtime() / 1000000 - begun_ms >= 1000 + 400);
}

static void a_relay_that_starts_is_asked_again(void **state)
{
	struct world *w = *state;

	assert_true(reclaims_full(w->reclaims, &terms, NULL));
	answer(w, 0, 1, 0, 0);
	reclaims_on_relay_began(w->reclaims, 0); /* it has answered */
	assert_int_equal(w->asked[0], 1);
	for (int i = 0; i < 5; i++)
		reclaims_on_relay_began(w->reclaims, 1);
	assert_int_equal(w->asked[1], 3); /* but not for ever */
	answer(w, 1, 1, 1, 0);
	turn(w);
	assert_int_equal(w->tried, 1);
	/* Of a round that is no more, or of a predecessor's. */
	w->order.round ^= 1;
	answer(w, 1, 1, 1, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(newcomers_share_a_round_and_its_word_stands),
		T(each_client_has_a_round_of_its_own),
		T(rounds_and_newcomers_are_bounded),
		T(what_is_given_back_goes_to_who_came_first),
		T(no_holder_at_all_is_no_wait),
		T(nobody_is_waited_for_for_ever),
		T(a_relay_that_starts_is_asked_again),
	};

	log_to_nowhere();
	return cmocka_run_group_tests_name("reclaims", tests, NULL, NULL);
}
