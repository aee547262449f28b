/* The census: how many sessions count for each service and backend, over all relays; one shared memfd per tree. Its second part
 * is the census of clients (census_clients.h).
 *
 * Each relay writes only its own row, and a total is the sum of the rows. So a relay that starts recounts its row from its
 * own ledger, exactly, and no one else needs to stop or to help; the row of a pair that is gone is set by its successor.
 * A limit is never exceeded: a relay counts itself in first, then sums, and takes itself out again if that was too many.
 * Of two that race for the last place one or both can be refused so, hence a second try. */
#ifndef WIRE_CENSUS_H
#define WIRE_CENSUS_H
#include <stdatomic.h>
#include <stdint.h>

enum {
	CENSUS_MAGIC = 0x74776373,
	CENSUS_VERSION = 2,
	CENSUS_RELAYS = 64,
	CENSUS_SERVICES = 1024, /* plan_service.id is the index, 1.. */
	CENSUS_BACKENDS = 4096, /* plan_backend.id is the index, 1.. */
};

struct census_clients;

struct census_row {
	_Atomic uint32_t service[CENSUS_SERVICES];
	_Atomic uint32_t backend[CENSUS_BACKENDS];
};

struct census {
	uint32_t magic, version;
	uint64_t size;
	uint64_t tree;
	_Atomic uint64_t moved_ms; /* when a session last went to another relay, CLOCK_MONOTONIC: it counts twice for a moment */
	uint64_t padding[4];
	struct census_row row[CENSUS_RELAYS];
};

/* What one relay counts, from its ledger. */
struct census_count {
	uint32_t service[CENSUS_SERVICES];
	uint32_t backend[CENSUS_BACKENDS];
};

/* A sealed memfd for relays of at most so many slots, or -errno. */
int census_create(uint64_t tree, uint32_t slots);

/* The mapping, writable, or NULL with errno set. It lives until the process ends. clients: its second part; may be NULL. */
struct census *census_map(int fd, struct census_clients *clients);

uint32_t census_service_total(const struct census *census, uint32_t service);
uint32_t census_backend_total(const struct census *census, uint32_t backend);

/* Counts one more for the service unless that would make more than limit (0: no limit). 0 or -EDQUOT. */
int census_enter_service(struct census *census, uint32_t relay, uint32_t service, uint32_t limit);
void census_leave_service(struct census *census, uint32_t relay, uint32_t service);
void census_enter_backend(struct census *census, uint32_t relay, uint32_t backend);
void census_leave_backend(struct census *census, uint32_t relay, uint32_t backend);

/* A relay that starts has counted anew. Until then the others go on with what its predecessor had counted: nothing in between
 * says that there is room. */
void census_set_row(struct census *census, uint32_t relay, const struct census_count *count);

#endif
