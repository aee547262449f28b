/* The plan: the validated, immutable table that the steward makes of a config, and all that a relay ever learns of it.
 * A memfd sealed SHRINK|GROW|WRITE|SEAL:   header | services | backends | addresses | listeners | text */
#ifndef WIRE_PLAN_H
#define WIRE_PLAN_H
#include "wire/ledger.h"
#include "wire/policy.h"

#include <stdint.h>
#include <sys/socket.h>

enum { PLAN_MAGIC = 0x7477706c, PLAN_VERSION = 3 };

/* What becomes of a client over a limit: it is refused at once, or those who hold a place are asked first. */
enum on_limit { ON_LIMIT_REJECT, ON_LIMIT_RECLAIM };

struct plan_text {
	uint32_t offset, length; /* into the text section; no NUL is counted or needed */
};

struct plan_service {
	char name[SERVICE_NAME_SIZE];
	uint32_t id;             /* 1..CENSUS_SERVICES-1, stable for a name as long as the tree lives */
	uint32_t first_backend, backend_count;
	uint32_t limit_connections, limit_per_client; /* 0: none */
	struct plan_text reject_message;
	struct policy policy;
	uint8_t balance;         /* enum balance */
	uint8_t on_limit;        /* enum on_limit */
	uint8_t drained;         /* 1: by an operator. It has no listeners then */
	uint8_t padding[5];
};

struct plan_backend {
	uint32_t id;             /* 1..CENSUS_BACKENDS-1, stable for a service's name and address text */
	uint32_t first_address, address_count; /* none: its name does not resolve (yet), or it is drained */
	uint32_t drained;        /* 1: by an operator */
	char address[ADDRESS_TEXT_SIZE]; /* as configured */
};

struct plan_address {
	struct sockaddr_storage to; /* AF_INET, AF_INET6 or AF_UNIX */
	uint32_t length;            /* for connect(2) */
	uint32_t padding;
};

struct plan_listener {
	uint32_t id;      /* ledger_listener.id */
	uint32_t service; /* index into services */
};

struct plan_header {
	uint32_t magic, version;
	uint64_t size;
	uint32_t generation;   /* grows with every plan of a tree, from 1 */
	uint32_t sessions_max; /* of this whole daemon, shared out evenly by the relay count; 0: what descriptors allow */
	uint32_t relays;
	uint32_t orphan_timeout_ms; /* how long a relay goes on when its supervisor is dead */
	uint32_t drain_timeout_ms; /* how long sessions of what is out of use go on, 0: as long as they like */
	uint32_t applied;      /* the last generation whose policies were to be those of older sessions, too; 0: none */
	uint64_t loaded_us;    /* when its config came into force, CLOCK_REALTIME: for people */
	uint32_t loads;        /* configs that came into force since the tree began, with this one */
	uint32_t service_count, backend_count, address_count, listener_count, text_size;
	uint64_t services_offset, backends_offset, addresses_offset, listeners_offset, text_offset;
};

/* A mapped plan: every index, offset and name in it was checked, so that users need not. */
struct plan {
	void *map;
	const struct plan_header *header;
	const struct plan_service *services;
	const struct plan_backend *backends;
	const struct plan_address *addresses;
	const struct plan_listener *listeners;
	const char *text;
};

/* What a plan is made from; arrays are copied. */
struct plan_source {
	uint32_t generation, sessions_max, relays, orphan_timeout_ms, drain_timeout_ms, applied, loads;
	uint64_t loaded_us;
	const struct plan_service *services;
	const struct plan_backend *backends;
	const struct plan_address *addresses;
	const struct plan_listener *listeners;
	const char *text;
	uint32_t service_count, backend_count, address_count, listener_count, text_size;
};

/* The sealed memfd, or -errno (-EINVAL: the source would not pass plan_map). */
int plan_create(const struct plan_source *source);

/* Maps and checks it. 0 or -errno (-EPERM: not sealed, -EPROTO: another version, -EINVAL: something in it is out of range). */
int plan_map(struct plan *ret, int fd);
void plan_unmap(struct plan *plan);

/* NULL if there is none. */
const struct plan_service *plan_service_of_listener(const struct plan *plan, uint32_t listener_id);
const struct plan_service *plan_service_by_id(const struct plan *plan, uint32_t service_id);
const struct plan_service *plan_service_by_name(const struct plan *plan, const char *name);

#endif
