#include "base/clock.h"
#include "wire/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOTS = 100, TREE = 4711 };

struct pair {
	int fd;
	struct ledger relay, steward;
};

/* Writable for the relay, and through a read-only descriptor for the steward. */
static int make(void **state)
{
	static struct pair p;
	char path[64];
	int fd;

	p.fd = ledger_create(TREE, 3, 2, SLOTS, (struct ledger_trial){0});
	assert_true(p.fd >= 0);
	assert_int_equal(ledger_map(&p.relay, p.fd, true), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ledger_map(&p.steward, fd, false), 0);
	close(fd);
	*state = &p;
	return 0;
}

static int drop(void **state)
{
	struct pair *p = *state;

	ledger_unmap(&p->relay);
	ledger_unmap(&p->steward);
	ledger_unmap(&p->steward); /* twice does no harm */
	close(p->fd);
	return 0;
}

static void test_one_of_two_becomes_the_owner(void **state)
{
	struct pair *p = *state;
	struct ledger_header *header = p->relay.header;
	uint64_t first = atomic_load(&header->owner);

	assert_int_equal(ledger_owner_pid(first), 0);
	assert_true(ledger_owner_move(header, first, 10));
	assert_false(ledger_owner_move(header, first, 11));
	assert_int_equal(ledger_owner_pid(atomic_load(&header->owner)), 10);
	/* It went and came back: who has the old word is late all the same. */
	assert_true(ledger_owner_move(header, atomic_load(&header->owner), 0));
	assert_false(ledger_owner_move(header, first, 11));
}

static void test_new_lists_nothing(void **state)
{
	struct pair *p = *state;
	struct slot slot;
	struct ledger_event event;

	assert_true(p->steward.header->tree == TREE);
	assert_int_equal(p->steward.header->relay, 3);
	assert_int_equal(p->steward.header->incarnation, 2);
	assert_int_equal(p->steward.header->plan_fd, -1);
	assert_int_equal(p->steward.header->ready, 0);
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		assert_int_equal(p->steward.header->listeners[i].fd, -1);
	for (int i = 0; i < LEDGER_PIPES; i++)
		assert_true(p->steward.header->pipes[i].fd[0] == -1 && p->steward.header->pipes[i].fd[1] == -1);
	assert_int_equal(ledger_read_slot(&p->steward, 0, &slot), -ENOENT);
	assert_int_equal(ledger_read_event(&p->steward, 1, &event), -EAGAIN);
}

/* Descriptor 0 must never be taken for a session's: who fills a slot sets its descriptors before its state. */
static void test_new_slots_are_free(void **state)
{
	struct pair *p = *state;

	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(p->relay.slots[i].state, SLOT_FREE);
}

static void test_slot_counts_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(ledger_create(1, 0, 0, 0, (struct ledger_trial){0}), -EINVAL);
	assert_int_equal(ledger_create(1, 0, 0, LEDGER_SLOTS_MAX + 1, (struct ledger_trial){0}), -EINVAL);
}

static void test_cannot_be_pulled_away(void **state)
{
	struct pair *p = *state;

	assert_int_equal(ftruncate(p->fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(p->fd, (off_t)p->relay.size + 4096), -1);
	assert_int_equal(fcntl(p->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

/* The next relay maps the same memory writable. */
static void test_is_mapped_again(void **state)
{
	struct pair *p = *state;
	struct ledger next;

	p->relay.slots[5].fd[SIDE_CLIENT] = 77;
	atomic_store(&p->relay.header->starts, 9);
	ledger_unmap(&p->relay);
	assert_int_equal(ledger_map(&next, p->fd, true), 0);
	assert_int_equal(next.slots[5].fd[SIDE_CLIENT], 77);
	assert_int_equal(next.header->starts, 9);
	ledger_unmap(&next);
}

static void write_slot(struct ledger *ledger, uint32_t index, uint64_t value)
{
	struct slot *slot = &ledger->slots[index];

	atomic_fetch_add(&slot->sequence, 1);
	atomic_thread_fence(memory_order_release);
	slot->record.id = value;
	slot->record.fence = value;
	slot->record.bytes[SIDE_CLIENT] = slot->record.bytes[SIDE_BACKEND] = value;
	atomic_fetch_add(&slot->sequence, 1);
}

static void test_read_slot(void **state)
{
	struct pair *p = *state;
	struct slot slot;

	write_slot(&p->relay, 4, 1234);
	memset(p->relay.slots[4].record.service, 'x', SERVICE_NAME_SIZE);
	atomic_store(&p->relay.slots[4].state, SLOT_RELAYING);
	atomic_store(&p->relay.header->high_water, 5);
	assert_int_equal(ledger_read_slot(&p->steward, 4, &slot), 0);
	assert_true(slot.record.id == 1234);
	assert_int_equal(slot.state, SLOT_RELAYING);
	assert_int_equal(strlen(slot.record.service), SERVICE_NAME_SIZE - 1); /* whatever stood there, it ends */
	assert_int_equal(ledger_read_slot(&p->steward, 5, &slot), -ENOENT);
	/* A relay that died while writing. */
	atomic_fetch_add(&p->relay.slots[4].sequence, 1);
	assert_int_equal(ledger_read_slot(&p->steward, 4, &slot), -EAGAIN);
}

static void test_high_water_is_a_claim(void **state)
{
	struct pair *p = *state;
	struct slot slot;

	atomic_store(&p->relay.header->high_water, UINT32_MAX);
	p->relay.header->slot_count = UINT32_MAX;
	assert_int_equal(ledger_read_slot(&p->steward, SLOTS - 1, &slot), 0);
	assert_int_equal(ledger_read_slot(&p->steward, SLOTS, &slot), -ENOENT);
	assert_int_equal(ledger_read_slot(&p->steward, UINT32_MAX - 1, &slot), -ENOENT);
}

/* Whatever is read was written as a whole, while another process writes. */
static void test_copies_are_whole(void **state)
{
	struct pair *p = *state;
	struct slot slot;
	int whole = 0, torn = 0;
	pid_t writer;

	write_slot(&p->relay, 0, 0);
	atomic_store(&p->relay.header->high_water, 1);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0)
		for (uint64_t n = 1;; n++)
			write_slot(&p->relay, 0, n);
	for (uint64_t end_ms = clock_mono_ms() + 20000; whole < 100000 && clock_mono_ms() < end_ms;) {
		if (ledger_read_slot(&p->steward, 0, &slot) < 0) {
			sched_yield(); /* the writer may have been put aside in the middle */
			continue;
		}
		whole++;
		torn += slot.record.id != slot.record.fence || slot.record.id != slot.record.bytes[SIDE_BACKEND];
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	assert_int_equal(torn, 0);
	assert_true(whole > 1000);
}

static void write_event(struct ledger *ledger, uint64_t number)
{
	struct ledger_event *event = &ledger->events[number % LEDGER_EVENTS];

	atomic_store(&event->sequence, 0);
	atomic_thread_fence(memory_order_release);
	event->kind = EVENT_ENDED;
	event->record.id = number * 10;
	atomic_store(&event->sequence, number);
	atomic_store(&ledger->header->events_made, number);
}

static void test_events(void **state)
{
	struct pair *p = *state;
	struct ledger_event event;

	for (uint64_t n = 1; n <= LEDGER_EVENTS; n++)
		write_event(&p->relay, n);
	for (uint64_t n = 1; n <= LEDGER_EVENTS; n++) {
		assert_int_equal(ledger_read_event(&p->steward, n, &event), 0);
		assert_true(event.record.id == n * 10);
	}
	assert_int_equal(ledger_read_event(&p->steward, LEDGER_EVENTS + 1, &event), -EAGAIN);
	write_event(&p->relay, LEDGER_EVENTS + 1);
	assert_int_equal(ledger_read_event(&p->steward, 1, &event), -ESTALE);
	assert_int_equal(ledger_read_event(&p->steward, 2, &event), 0);
	atomic_store(&p->relay.events[2].sequence, 0); /* being written again */
	assert_int_equal(ledger_read_event(&p->steward, 2, &event), -EAGAIN);
}

static int other_memory(size_t size, int seals)
{
	int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_strange_memory_is_refused(void **state)
{
	struct pair *p = *state;
	struct ledger ledger;
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = other_memory(p->relay.size, 0);

	assert_int_equal(ledger_map(&ledger, fd, true), -EPERM);
	close(fd);
	fd = other_memory(100, seals);
	assert_int_equal(ledger_map(&ledger, fd, true), -EINVAL);
	close(fd);
	fd = other_memory(p->relay.size, seals);
	assert_int_equal(ledger_map(&ledger, fd, true), -EPROTO);
	close(fd);
}

static void map_damaged(struct pair *p, uint64_t *field, uint64_t value, int expected)
{
	uint64_t good = *field;
	struct ledger ledger;

	*field = value;
	assert_int_equal(ledger_map(&ledger, p->fd, false), expected);
	*field = good;
	assert_int_equal(ledger_map(&ledger, p->fd, false), 0);
	ledger_unmap(&ledger);
}

static void test_damage_is_seen(void **state)
{
	struct pair *p = *state;
	struct ledger_header *h = p->relay.header;
	struct ledger ledger;

	map_damaged(p, &h->size, h->size + 1, -EINVAL);
	map_damaged(p, &h->slots_offset, 0, -EINVAL);
	map_damaged(p, &h->events_offset, UINT64_MAX, -EINVAL);
	h->slot_count = SLOTS + 64;
	assert_int_equal(ledger_map(&ledger, p->fd, false), -EINVAL);
	h->slot_count = 0;
	assert_int_equal(ledger_map(&ledger, p->fd, false), -EINVAL);
	h->slot_count = SLOTS;
	h->version++;
	assert_int_equal(ledger_map(&ledger, p->fd, false), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_of_two_becomes_the_owner, make, drop),
		cmocka_unit_test_setup_teardown(test_new_lists_nothing, make, drop),
		cmocka_unit_test_setup_teardown(test_new_slots_are_free, make, drop),
		cmocka_unit_test(test_slot_counts_are_bounded),
		cmocka_unit_test_setup_teardown(test_cannot_be_pulled_away, make, drop),
		cmocka_unit_test_setup_teardown(test_is_mapped_again, make, drop),
		cmocka_unit_test_setup_teardown(test_read_slot, make, drop),
		cmocka_unit_test_setup_teardown(test_high_water_is_a_claim, make, drop),
		cmocka_unit_test_setup_teardown(test_copies_are_whole, make, drop),
		cmocka_unit_test_setup_teardown(test_events, make, drop),
		cmocka_unit_test_setup_teardown(test_strange_memory_is_refused, make, drop),
		cmocka_unit_test_setup_teardown(test_damage_is_seen, make, drop),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
