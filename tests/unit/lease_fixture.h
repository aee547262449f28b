/* A lease module in a directory of its own, with hooks that write what they do to a journal, and a ledger that is only a list. */
#ifndef TESTS_LEASE_FIXTURE_H
#define TESTS_LEASE_FIXTURE_H
#include "steward/lease/leases.h"

#include <stdbool.h>

enum { FIXTURE_SESSIONS = 256, FIXTURE_TREE = 77 };

struct fixture {
	char directory[64];
	uv_loop_t loop;
	struct leases *leases;
	struct config config;
	struct service_config service;
	/* by the session's number, 1.. */
	struct message_verdict verdict[FIXTURE_SESSIONS];
	struct reason told_to_end[FIXTURE_SESSIONS];
	int verdicts[FIXTURE_SESSIONS], durables[FIXTURE_SESSIONS];
	struct slot slot[FIXTURE_SESSIONS]; /* state SLOT_FREE: does not live */
	bool recovered, stopped;
	bool keep_busy; /* who is told busy waits, and */
	int busy;       /* was so often */
	int given_back;
};

/* Scripts are shell text, run with the journal's path in $J; NULL: there is no such hook. */
void fixture_open(struct fixture *f, const char *acquire, const char *release);
void fixture_hooks(struct fixture *f, const char *acquire, const char *release);
void fixture_held_hooks(struct fixture *f, const char *connected, const char *renew);
void fixture_close(struct fixture *f); /* and removes the directory */

void fixture_start(struct fixture *f); /* a steward begins: leases_new, configure, recover, until recovered */
void fixture_crash(struct fixture *f); /* ends with nothing finished, as by death; hooks go on */
void fixture_acquire(struct fixture *f, unsigned session);
void fixture_end(struct fixture *f, unsigned session);

struct session_key fixture_key(unsigned session);

/* Runs the loop until the condition holds; fails the test after ten seconds. */
bool fixture_turn(struct fixture *f, uint64_t deadline_ms);
#define fixture_until(f, condition)                                                                                              \
	do {                                                                                                                     \
		uint64_t fixture_deadline_ms = uv_hrtime() / 1000000 + 10000;                                                    \
		while (!(condition))                                                                                             \
			if (!fixture_turn(f, fixture_deadline_ms))                                                               \
				fail_msg("in ten seconds it did not come to: %s", #condition);                                   \
	} while (0)

/* The journal so far; valid until the next call. */
const char *fixture_journal(struct fixture *f);
unsigned fixture_count(struct fixture *f, const char *part);

#endif
