#include "wire/ledger.h"

#include "base/clock.h"
#include "wire/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static_assert(sizeof(struct slot) == 640, "a slot is ten cache lines");
static_assert((LEDGER_EVENTS & (LEDGER_EVENTS - 1)) == 0, "the ring is indexed by masking");

enum { PAGE = 4096, READ_TRIES = 64 };

static const char *const state_words[SLOT_STATES] = {
	[SLOT_FREE] = "free",
	[SLOT_REFUSING] = "refusing",
	[SLOT_ACQUIRING] = "acquiring",
	[SLOT_CONNECTING] = "connecting",
	[SLOT_RELAYING] = "relaying",
	[SLOT_CLOSING] = "closing",
	[SLOT_RELEASING] = "releasing",
	[SLOT_WAITING] = "waiting",
	[SLOT_LEAVING] = "leaving",
	[SLOT_GONE] = "gone",
	[SLOT_ARRIVING] = "arriving",
};

const char *slot_state_word(unsigned state)
{
	return state < SLOT_STATES ? state_words[state] : "?";
}

uint64_t slot_linger_end_ms(const struct slot *slot, enum side s)
{
	uint32_t own_ms = slot->policy.side[s].linger_timeout_ms, other_ms = slot->policy.side[other_side(s)].linger_timeout_ms;

	return other_ms > own_ms ? slot->deadline_ms - other_ms + own_ms : slot->deadline_ms;
}

static uint64_t round_up(uint64_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

/* A new ledger's id_base is the clock in microseconds, and no relay begins a million sessions a second for long, so ids
 * of successive ledgers do not meet. Two pairs made within a microsecond differ in the relay's six bits. */
static void fill(struct ledger_header *h, uint64_t tree, uint32_t relay, uint32_t incarnation, uint32_t slot_count)
{
	h->slot_count = slot_count;
	h->slot_size = sizeof(struct slot);
	h->event_count = LEDGER_EVENTS;
	h->event_size = sizeof(struct ledger_event);
	h->slots_offset = round_up(sizeof *h);
	h->events_offset = h->slots_offset + round_up((uint64_t)slot_count * sizeof(struct slot));
	h->size = h->events_offset + round_up((uint64_t)LEDGER_EVENTS * sizeof(struct ledger_event));
	h->tree = tree;
	h->relay = relay;
	h->incarnation = incarnation;
	h->id_base = clock_real_us();
	h->plan_fd = -1;
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		h->listeners[i].fd = -1;
	for (int i = 0; i < LEDGER_PIPES; i++)
		h->pipes[i].fd[0] = h->pipes[i].fd[1] = -1;
	for (int i = 0; i < LEDGER_RELAYS; i++)
		h->bridges[i].channel = h->bridges[i].ledger = -1;
	h->version = LEDGER_VERSION;
	h->magic = LEDGER_MAGIC;
}

int ledger_create(uint64_t tree, uint32_t relay, uint32_t incarnation, uint32_t slot_count, struct ledger_trial trial)
{
	struct ledger_header sized = {0};
	struct ledger_header *header;
	int fd, r;

	if (slot_count < 1 || slot_count > LEDGER_SLOTS_MAX)
		return -EINVAL;
	fill(&sized, tree, relay, incarnation, slot_count);
	fd = shared_create("tcpwarden-ledger", sized.size);
	if (fd < 0)
		return fd;
	header = mmap(NULL, sizeof *header, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (header == MAP_FAILED) {
		r = -errno;
		close(fd);
		return r;
	}
	fill(header, tree, relay, incarnation, slot_count);
	header->kill_one_in = trial.kill_one_in;
	header->no_rto_max = trial.no_rto_max;
	munmap(header, sizeof *header);
	r = shared_seal(fd, false);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int ledger_map(struct ledger *ret, int fd, bool writable)
{
	struct ledger_header want = {0}, *header;
	void *at;
	size_t size;
	int r = shared_map(fd, writable, false, sizeof *header, &at, &size);

	if (r < 0)
		return r;
	header = at;
	r = -EPROTO;
	if (header->magic != LEDGER_MAGIC || header->version != LEDGER_VERSION || header->slot_size != sizeof(struct slot) ||
		header->event_size != sizeof(struct ledger_event))
		goto refuse;
	r = -EINVAL;
	if (header->slot_count < 1 || header->slot_count > LEDGER_SLOTS_MAX)
		goto refuse;
	/* The offsets are computed here, never taken from the other side. */
	fill(&want, 0, 0, 0, header->slot_count);
	if (want.size != size || header->size != size || header->slots_offset != want.slots_offset ||
		header->events_offset != want.events_offset || header->event_count != LEDGER_EVENTS)
		goto refuse;
	ret->header = header;
	ret->slots = (struct slot *)((char *)at + want.slots_offset);
	ret->events = (struct ledger_event *)((char *)at + want.events_offset);
	ret->slot_count = want.slot_count;
	ret->size = size;
	return 0;
refuse:
	munmap(at, size);
	return r;
}

void ledger_unmap(struct ledger *ledger)
{
	if (ledger->header)
		munmap(ledger->header, ledger->size);
	memset(ledger, 0, sizeof *ledger);
}

/* A reader that only looks may race with the writer by design; what it copied is used only if the sequence says that it
 * was whole. That is the one place where the sanitizers would be right to complain, were both sides in one process. */
int ledger_read_slot(const struct ledger *ledger, uint32_t index, struct slot *ret)
{
	const struct slot *slot;

	/* The relay's count is a claim, ours was checked. */
	if (index >= ledger->slot_count || index >= atomic_load_explicit(&ledger->header->high_water, memory_order_acquire))
		return -ENOENT;
	slot = &ledger->slots[index];
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);

		if (before & 1)
			continue;
		memcpy(ret, slot, sizeof *ret);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) == before) {
			ret->record.service[SERVICE_NAME_SIZE - 1] = '\0';
			return 0;
		}
	}
	return -EAGAIN;
}

int ledger_read_event(const struct ledger *ledger, uint64_t number, struct ledger_event *ret)
{
	const struct ledger_event *event = &ledger->events[number & (LEDGER_EVENTS - 1)];
	uint64_t before = atomic_load_explicit(&event->sequence, memory_order_acquire);

	if (before > number)
		return -ESTALE;
	if (before < number)
		return -EAGAIN;
	memcpy(ret, event, sizeof *ret);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&event->sequence, memory_order_relaxed) != before)
		return -ESTALE;
	ret->record.service[SERVICE_NAME_SIZE - 1] = '\0';
	return 0;
}
