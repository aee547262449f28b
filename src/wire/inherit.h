/* Everything that a child receives from the supervisor, by number. All else is closed before exec.
 * Low numbers are fixed, so that after a crash nothing of the old tables can be mistaken for them. */
#ifndef WIRE_INHERIT_H
#define WIRE_INHERIT_H

/* 0, 1, 2: /dev/null, stderr, stderr.
 * steward: argv "tcpwarden: steward" --role CONFIG-PATH, and --resume once a config was accepted; holder: argv "tcpwarden: holder N".
 * A holder that takes another one's place has --take-over after that, and receives all else from the relay that goes
 * (relay/take_over.h). */
enum {
	INHERIT_SUPERVISOR = 3, /* channel to the supervisor */
	INHERIT_PARENT = 4,     /* pidfd of the supervisor: readable when it is dead */
	INHERIT_LOCK = 5,       /* the open file that holds STATE/lock (holders only; steward: absent) */

	STEWARD_PULSE = 6,      /* memfd of one struct pulse */
	STEWARD_INHERITED_END = 7,

	HOLDER_LEDGER = 6,      /* memfd, writable */
	HOLDER_STEWARD = 7,     /* channel to the steward */
	HOLDER_CENSUS = 8,      /* memfd, writable */
	HOLDER_FORMER = 9,      /* the program before this one (O_PATH), until a relay of this one was ready */
	HOLDER_INHERITED_END = 16, /* the numbers up to here are never a session's: a newer holder may have a use for them */

	HEIR_GIVER = 3,         /* with --take-over: channel to the relay that goes, */
	HEIR_FORMER = 4,        /* and that program */
};

/* A role that runs on a loop stamps this at least once a second. The relay's stands in its ledger. */
#include <stdatomic.h>
#include <stdint.h>
struct pulse {
	_Atomic uint64_t beat_ns; /* CLOCK_MONOTONIC */
	_Atomic uint32_t ready;
};

#endif
