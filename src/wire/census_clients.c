#include "wire/census_clients.h"

#include "base/siphash.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum {
	LOOKS = 1000,        /* more steps than that within one look no honest relay goes */
	NOWHERE = UINT32_MAX /* neither the key nor room for it: the table was tampered with */
};

static_assert(sizeof(struct client_entry) == 32, "two entries share a cache line");
static_assert(sizeof(struct client_head) == 64, "writers share none");

/* A client of a service, and where its search begins. */
struct key {
	uint64_t word[3];
	uint32_t home;
};

static uint32_t home_of(const struct census_clients *c, const uint64_t word[3])
{
	return (uint32_t)siphash_words(c->hash_key, word, 3) & c->mask;
}

static struct key key_of(const struct census_clients *c, uint32_t service, const struct endpoint *client)
{
	struct key key = {.word = {(uint64_t)service << 48 | (uint64_t)client->family << 32 | client->scope}};

	memcpy(&key.word[1], client->ip, sizeof client->ip);
	key.home = home_of(c, key.word);
	return key;
}

static uint64_t word_at(const struct client_entry *e, int i)
{
	return atomic_load_explicit(&e->key[i], memory_order_relaxed);
}

static uint32_t count_at(const struct client_entry *e)
{
	return atomic_load_explicit(&e->count, memory_order_relaxed);
}

static bool has_key(const struct client_entry *e, const struct key *key)
{
	return word_at(e, 0) == key->word[0] && word_at(e, 1) == key->word[1] && word_at(e, 2) == key->word[2];
}

/* Where the key is, or the empty entry that ends the search for it. Its count goes to *ret_count, which is 0 then. */
static uint32_t find(const struct client_entry *table, uint32_t mask, const struct key *key, uint32_t *ret_count)
{
	for (uint32_t n = 0; n <= mask; n++) {
		uint32_t at = (key->home + n) & mask;
		bool same = has_key(&table[at], key);

		/* The key comes before its count: who writes one over another begins with the count. */
		atomic_thread_fence(memory_order_acquire);
		*ret_count = count_at(&table[at]);
		if (same || *ret_count == 0)
			return at;
	}
	*ret_count = 0;
	return NOWHERE;
}

static struct client_entry *half(const struct census_clients *c, uint32_t relay, uint32_t which)
{
	return c->tables + ((size_t)relay * 2 + which - 1) * ((size_t)c->mask + 1);
}

/* What comes after it is of the next step, for whoever sees any of it. */
static void step(struct client_head *head)
{
	uint32_t n = atomic_load_explicit(&head->step, memory_order_relaxed);

	atomic_store_explicit(&head->step, n + 1, memory_order_release);
	atomic_thread_fence(memory_order_release);
}

/* Looks at one relay's table from outside. */
static uint32_t look(const struct census_clients *c, uint32_t relay, const struct key *key)
{
	const struct client_head *head = &c->shared->of[relay];
	uint32_t count = 0;

	for (int i = 0; i < LOOKS; i++) {
		uint32_t before = atomic_load_explicit(&head->step, memory_order_acquire);
		uint32_t which = atomic_load_explicit(&head->in_force, memory_order_acquire);

		if (which != 1 && which != 2)
			return 0;
		find(half(c, relay, which), c->mask, key, &count);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&head->step, memory_order_relaxed) == before)
			break;
	}
	return count;
}

static uint32_t total(const struct census_clients *c, const struct key *key)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		sum += look(c, i, key);
	return sum;
}

static void insert(struct client_entry *e, const struct key *key)
{
	for (int i = 0; i < 3; i++)
		atomic_store_explicit(&e->key[i], key->word[i], memory_order_relaxed);
	atomic_store_explicit(&e->count, 1, memory_order_release);
}

/* Over what is not needed there any more. Half done it can be taken for that, with a count that is too high, but not for `from`
 * with one that is too low. */
static void copy(struct client_entry *to, const struct client_entry *from)
{
	atomic_store_explicit(&to->count, count_at(from), memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < 3; i++)
		atomic_store_explicit(&to->key[i], word_at(from, i), memory_order_relaxed);
}

static int count_one(struct census_clients *c, const struct key *key)
{
	uint32_t count, at = find(c->own, c->mask, key, &count);

	if (at == NOWHERE)
		return -EDQUOT;
	if (count)
		atomic_store_explicit(&c->own[at].count, count + 1, memory_order_relaxed);
	else
		insert(&c->own[at], key);
	return 0;
}

/* Its search must not begin behind the hole. */
static bool may_move(const struct census_clients *c, uint32_t from, uint32_t hole)
{
	const struct client_entry *e = &c->own[from];
	uint32_t home = home_of(c, (uint64_t[]){word_at(e, 0), word_at(e, 1), word_at(e, 2)});

	return ((from - home) & c->mask) >= ((from - hole) & c->mask);
}

static void take_out(struct census_clients *c, uint32_t hole)
{
	/* The hole is never empty before the last is moved: what stands behind it would not be found. */
	for (uint32_t n = 1, from = hole; n <= c->mask; n++) {
		from = (from + 1) & c->mask;
		if (count_at(&c->own[from]) == 0)
			break;
		if (!may_move(c, from, hole))
			continue;
		copy(&c->own[hole], &c->own[from]);
		step(&c->shared->of[c->relay]);
		hole = from;
	}
	atomic_store_explicit(&c->own[hole].count, 0, memory_order_relaxed);
}

static void uncount_one(struct census_clients *c, const struct key *key)
{
	uint32_t count, at = find(c->own, c->mask, key, &count);

	if (count > 1)
		atomic_store_explicit(&c->own[at].count, count - 1, memory_order_relaxed);
	else if (count == 1)
		take_out(c, at);
}

static size_t table_bytes(size_t entries)
{
	return CENSUS_RELAYS * 2 * entries * sizeof(struct client_entry);
}

static size_t head_bytes(void)
{
	return (sizeof(struct clients_shared) + CENSUS_PAGES - 1) / CENSUS_PAGES * CENSUS_PAGES;
}

size_t census_clients_size(uint32_t slots)
{
	size_t entries = CENSUS_PAGES / sizeof(struct client_entry);

	while (entries < 2 * (size_t)slots)
		entries *= 2;
	return head_bytes() + table_bytes(entries);
}

void census_clients_init(void *at)
{
	struct clients_shared *shared = at;

	/* Should there be no randomness, the place of the memory is what strangers do not know. */
	if (getrandom(shared->hash_key, sizeof shared->hash_key, 0) != sizeof shared->hash_key)
		shared->hash_key[0] = (uintptr_t)at;
}

int census_clients_open(struct census_clients *ret, void *at, size_t size)
{
	size_t entries;

	if (size <= head_bytes())
		return -EPROTO;
	entries = (size - head_bytes()) / table_bytes(1);
	if (entries == 0 || entries > (size_t)1 << 31 || size != head_bytes() + table_bytes(entries) ||
		(entries & (entries - 1)) != 0)
		return -EPROTO;
	*ret = (struct census_clients){
		.shared = at,
		.tables = (struct client_entry *)((char *)at + head_bytes()),
		.mask = (uint32_t)(entries - 1),
	};
	memcpy(ret->hash_key, ret->shared->hash_key, sizeof ret->hash_key);
	return 0;
}

void census_clients_recount(struct census_clients *c, uint32_t relay)
{
	struct client_head *head = &c->shared->of[relay];
	size_t bytes = ((size_t)c->mask + 1) * sizeof *c->own;

	c->relay = relay;
	c->own = half(c, relay, atomic_load(&head->in_force) == 1 ? 2 : 1);
	/* Someone may still be looking at that half, from before it was put out of force. */
	step(head);
	if (madvise(c->own, bytes, MADV_REMOVE) < 0)
		memset(c->own, 0, bytes);
}

void census_clients_add(struct census_clients *c, uint32_t service, const struct endpoint *client)
{
	struct key key = key_of(c, service, client);

	count_one(c, &key);
}

void census_clients_publish(struct census_clients *c)
{
	struct client_head *head = &c->shared->of[c->relay];

	atomic_store_explicit(&head->in_force, c->own == half(c, c->relay, 1) ? 1 : 2, memory_order_release);
	step(head);
}

void census_forget(struct census *census, const struct census_clients *clients, uint32_t relay)
{
	static const struct census_count nothing;
	struct census_clients its = *clients;

	census_set_row(census, relay, &nothing);
	census_clients_recount(&its, relay);
	census_clients_publish(&its);
}

int census_clients_enter(struct census_clients *c, uint32_t service, const struct endpoint *client, uint32_t limit)
{
	struct key key = key_of(c, service, client);
	int r = count_one(c, &key);

	if (r < 0)
		return r;
	/* First in, then look, and nothing of the one after the other: of two that do so one at least sees both. */
	atomic_thread_fence(memory_order_seq_cst);
	if (total(c, &key) > limit) {
		uncount_one(c, &key);
		return -EDQUOT;
	}
	return 0;
}

void census_clients_leave(struct census_clients *c, uint32_t service, const struct endpoint *client)
{
	struct key key = key_of(c, service, client);

	uncount_one(c, &key);
}

uint32_t census_clients_total(const struct census_clients *c, uint32_t service, const struct endpoint *client)
{
	struct key key = key_of(c, service, client);

	return total(c, &key);
}
