/* What a session, a count or an event refers to is in use; nothing else is. */
#include "steward/plan/number_use.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
	struct ledger ledger[2];
	struct ledger_view view;
	struct census *census;
	struct number_use use;
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof *b);
	int fd;

	for (uint32_t i = 0; i < 2; i++) {
		fd = ledger_create(1, i, 1, 16, (struct ledger_trial){0});
		assert_true(fd >= 0);
		assert_int_equal(ledger_map(&b->ledger[i], fd, true), 0);
		close(fd);
	}
	fd = census_create(1, 4);
	assert_true(fd >= 0);
	b->census = census_map(fd, NULL);
	assert_non_null(b->census);
	close(fd);
	b->view.relays = 3; /* the third has no ledger now */
	b->view.of[0] = &b->ledger[0];
	b->view.of[1] = &b->ledger[1];
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	ledger_unmap(&b->ledger[0]);
	ledger_unmap(&b->ledger[1]);
	free(b);
	return 0;
}

static uint32_t in_use(struct bench *b, enum plan_id_kind kind)
{
	uint32_t count = 0, limit = kind == PLAN_ID_SERVICE ? CENSUS_SERVICES : CENSUS_BACKENDS;

	for (uint32_t i = 1; i < limit; i++)
		count += number_use_has(&b->use, kind, i);
	return count;
}

static void nothing(void **state)
{
	struct bench *b = *state;

	assert_int_equal(number_use_collect(&b->use, &b->view, b->census), 0);
	assert_int_equal(in_use(b, PLAN_ID_SERVICE), 0);
	assert_int_equal(in_use(b, PLAN_ID_BACKEND), 0);
}

static void sessions_counts_and_events(void **state)
{
	struct bench *b = *state;
	struct ledger *l = &b->ledger[1];

	atomic_store(&l->header->high_water, 3);
	l->slots[0].record.service_id = 3;
	l->slots[0].record.backend_id = 30;
	atomic_store(&l->slots[0].state, SLOT_RELAYING);
	l->slots[1].record.service_id = 4; /* over */
	l->slots[2].record.service_id = 5;
	l->slots[2].counted_service = 6;
	l->slots[2].counted_backend = 60;
	l->slots[2].record.backend_id = UINT32_MAX; /* a lie */
	atomic_store(&l->slots[2].state, SLOT_RELEASING);
	for (uint64_t n = 1; n <= 2; n++) {
		struct ledger_event *event = &l->events[n & (LEDGER_EVENTS - 1)];

		event->record.service_id = 6 + (uint32_t)n;
		atomic_store(&event->sequence, n);
	}
	atomic_store(&l->header->events_made, 2);
	atomic_store(&l->header->events_taken, 1);
	census_enter_service(b->census, 5, 9, 0);
	census_enter_backend(b->census, 6, 90);

	assert_int_equal(number_use_collect(&b->use, &b->view, b->census), 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_true(number_use_has(&b->use, PLAN_ID_SERVICE, (const uint32_t[]){3, 5, 6, 8, 9}[i]));
	assert_int_equal(in_use(b, PLAN_ID_SERVICE), 5);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(number_use_has(&b->use, PLAN_ID_BACKEND, (const uint32_t[]){30, 60, 90}[i]));
	assert_int_equal(in_use(b, PLAN_ID_BACKEND), 3);
}

static void what_cannot_be_told(void **state)
{
	struct bench *b = *state;
	struct ledger *l = &b->ledger[0];

	atomic_store(&l->header->high_water, 2);
	atomic_store(&l->slots[0].sequence, 1); /* half written */
	l->slots[1].record.service_id = 2;
	atomic_store(&l->slots[1].state, SLOT_RELAYING);
	assert_int_equal(number_use_collect(&b->use, &b->view, b->census), -EAGAIN);
	assert_true(number_use_has(&b->use, PLAN_ID_SERVICE, 2));
	atomic_store(&l->slots[0].sequence, 2);
	assert_int_equal(number_use_collect(&b->use, &b->view, b->census), 0);

	/* Whatever a relay says it has made: as many are looked at as there can be. */
	atomic_store(&l->header->events_made, UINT64_MAX);
	assert_int_equal(number_use_collect(&b->use, &b->view, b->census), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sessions_counts_and_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_told, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
