/* Everything that a child receives from the supervisor, by number. All else is closed before exec.
 * Low numbers are fixed, so that after a crash nothing of the old tables can be mistaken for them. */
#ifndef WIRE_INHERIT_H
#define WIRE_INHERIT_H

/* 0, 1, 2: /dev/null, stderr, stderr.
 * steward: argv "tcpwarden: steward" --role CONFIG-PATH, and --resume once a config was accepted; holder: argv "tcpwarden: holder N". */
enum {
	INHERIT_SUPERVISOR = 3, /* channel to the supervisor */
	INHERIT_PARENT = 4,     /* pidfd of the supervisor: readable when it is dead */
	INHERIT_LOCK = 5,       /* the open file that holds STATE/lock (holders only; steward: absent) */

	STEWARD_PULSE = 6,      /* memfd of one struct pulse */
	STEWARD_INHERITED_END = 7,

	HOLDER_LEDGER = 6,      /* memfd, writable */
	HOLDER_STEWARD = 7,     /* channel to the steward */
	HOLDER_CENSUS = 8,      /* memfd, writable */
	HOLDER_INHERITED_END = 9,
};

/* A role that runs on a loop stamps this at least once a second. The relay's stands in its ledger. */
#include <stdatomic.h>
#include <stdint.h>
struct pulse {
	_Atomic uint64_t beat_ns; /* CLOCK_MONOTONIC */
	_Atomic uint32_t ready;
};

#endif
