/* `leases`, `leases --history` and `release`: what clients of the control socket ask of leases.
 *
 * The walk belongs to its client; it ends when all is listed, or by lease_walk_stop. */
#ifndef STEWARD_CONTROL_LEASE_REQUESTS_H
#define STEWARD_CONTROL_LEASE_REQUESTS_H
#include "steward/lease/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control_client;

struct lease_walk {
	bool active;
	struct lease_query query;
	uint32_t cursor;
	uint64_t count;
	struct store_question *question; /* to the history, not answered yet */
	struct store_question *answered; /* whose texts are being listed */
};

void handle_leases(struct control_client *client, json_t *request);
void handle_release(struct control_client *client, json_t *request);

void lease_walk_go_on(struct control_client *client); /* the next part */
void lease_walk_stop(struct control_client *client);

#endif
