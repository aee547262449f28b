/* The census of clients: how many sessions of one client address count for a service, over all relays. It is the second part of
 * the census's memfd (census.h), and like the first it has a table for each relay, which that relay alone writes; a total is the
 * sum over the tables.
 *
 *   shared | tables [CENSUS_RELAYS][2][entries]
 *
 * A table is a hash table with linear probing, twice as large as a relay has slots. An entry with count 0 is empty and ends a
 * search. Deletion moves later entries into the hole, so that searches stay short.
 *
 * Who reads another relay's table must never find less than there is, also while that relay writes, sleeps or lies dead in the
 * middle of it. So its writer goes in steps: after each of them every entry is found, and in each of them at most one
 * entry is copied to where it is to go. Between two steps the table's step number grows. What was read within one step is right;
 * else the table is looked at again. So nobody waits for a writer.
 *
 * A relay that starts counts anew, from its ledger, in the table's other half, and then puts that in force: meanwhile the others
 * go on with what its predecessor had counted.
 *
 * The memory is sparse: pages cost something once a client was looked for there. A relay that never counted has no page. */
#ifndef WIRE_CENSUS_CLIENTS_H
#define WIRE_CENSUS_CLIENTS_H
#include "base/endpoint.h"
#include "wire/census.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CENSUS_PAGES = 64 << 10, /* the largest pages that Linux has: a half is emptied by giving its pages back */
};

struct client_entry {
	_Atomic uint64_t key[3];
	_Atomic uint32_t count; /* 0: empty, whatever the key says */
	uint32_t padding;
};

struct client_head {
	_Atomic uint32_t step;
	_Atomic uint32_t in_force; /* 1, 2: that half; 0: it has never counted */
	uint32_t padding[14];
};

struct clients_shared {
	uint64_t hash_key[2]; /* random, so that no client can choose where it falls */
	uint64_t padding[6];
	struct client_head of[CENSUS_RELAYS];
};

/* One process's view; it lives as long as the mapping. What decides where it may write is not in the shared memory. */
struct census_clients {
	struct clients_shared *shared;
	struct client_entry *tables;
	uint64_t hash_key[2];
	uint32_t mask;            /* entries - 1, a power of two less one */
	uint32_t relay;           /* who we are, and */
	struct client_entry *own; /* the half that we write; NULL: we only read */
};

/* Bytes for relays of at most so many slots. Memory of that size begins at a multiple of CENSUS_PAGES. */
size_t census_clients_size(uint32_t slots);

/* Once, in zeroed memory. */
void census_clients_init(void *at);

/* 0 or -EPROTO: no such memory has that size. */
int census_clients_open(struct census_clients *ret, void *at, size_t size);

/* We are that relay from here on, and what a predecessor left there is no longer ours: the other half is empty. What it counts
 * with census_clients_add is in force once census_clients_publish was called, which must be before anyone enters or leaves. */
void census_clients_recount(struct census_clients *clients, uint32_t relay);
void census_clients_add(struct census_clients *clients, uint32_t service, const struct endpoint *client);
void census_clients_publish(struct census_clients *clients);

/* That relay has ended for good, and who is left of the tree says so for it: neither part counts anything of it. */
void census_forget(struct census *census, const struct census_clients *clients, uint32_t relay);

/* Counts one more of the client's for the service unless that would make more than limit. 0 or -EDQUOT; as with services, of two
 * that race for the last place one or both can be refused. The client's port does not matter. */
int census_clients_enter(struct census_clients *clients, uint32_t service, const struct endpoint *client, uint32_t limit);
void census_clients_leave(struct census_clients *clients, uint32_t service, const struct endpoint *client);

uint32_t census_clients_total(const struct census_clients *clients, uint32_t service, const struct endpoint *client);

#endif
