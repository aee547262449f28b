/* What the history keeps of a lease that is over: what it was, whose, and why it ended. One malloc(3)ed block, its user's; ended
 * by free(3). */
#ifndef STEWARD_LEASE_ENDED_H
#define STEWARD_LEASE_ENDED_H
#include "steward/lease/record.h"

#include <jansson.h>

struct ended {
	char service[SERVICE_NAME_SIZE], client[ENDPOINT_TEXT]; /* it is found by these; client: the address alone */
	uint64_t at_us;                                         /* when it was released */
	char text[];                                            /* the JSON object that `leases --history` shows */
};

/* NULL: out of memory. */
struct ended *ended_new(const struct lease_record *record, uint64_t released_us);

/* What a living lease and one that is over tell alike: "lease", "service", "session", "client", ... NULL: out of memory. */
json_t *ended_describe(const struct lease_record *record);

#endif
