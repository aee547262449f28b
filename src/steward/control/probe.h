/* `probe ID`: the relay is told to ask both peers for a sign of life, and the kernel is looked at until it has one of each that
 * is younger than the question.
 *
 * Belongs to a client of the control socket, which waits meanwhile; its timer ends with the client's other handles. */
#ifndef STEWARD_CONTROL_PROBE_H
#define STEWARD_CONTROL_PROBE_H
#include "steward/lease/leases.h"
#include "wire/policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct control_client;

struct probe_side {
	bool pending;
	const char *outcome; /* of the answer: "alive" */
	uint32_t segments;   /* that had come in before it was asked */
	uint64_t patience_ms;
	uint64_t took_ms; /* 0: it was not asked */
};

struct probe {
	bool active;
	struct session_key key;
	uint64_t asked_ms; /* CLOCK_MONOTONIC */
	struct probe_side side[SIDES];
	uv_timer_t timer;
};

/* Asks; the client is answered now or later. */
void probe_start(struct control_client *client, uint64_t id);

#endif
