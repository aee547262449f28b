/* What a session waits for, in one phrase for people: "client not reading for 42 s". A pure function of what its slot says and of
 * what the kernel says about its two connections. */
#ifndef STEWARD_CONTROL_WAITS_H
#define STEWARD_CONTROL_WAITS_H
#include "steward/control/tcp_view.h"
#include "wire/ledger.h"

struct waits_situation {
	const struct slot *slot;            /* a copy; what it says is the relay's claim */
	const struct tcp_facts *tcp[SIDES]; /* NULL: not known (no such socket now, a unix socket, or the kernel tells nothing) */
	const char *backend;                /* its address as text */
	bool acquire_queued;                /* its acquire hook has not begun */
	bool acquire_busy;                  /* it said busy, and those who hold are asked whether they live */
	uint64_t now_ms;                    /* CLOCK_MONOTONIC */
};

enum { WAITS_TEXT = 256 };

void waits_say(const struct waits_situation *situation, char text[WAITS_TEXT]);

/* "client", "backend" */
const char *waits_side_word(enum side side);

#endif
