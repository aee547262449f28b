/* How many pairs there are to be, and what becomes of one that is too many.
 *
 *   ABSENT ── wanted ──► SERVING ── not wanted any more ──► RETIRING ── its relay has nothing left, and ends ──► ABSENT
 *                           ▲                                  │
 *                           └────────── wanted again ──────────┘
 *
 * Wanted are the lowest indices, as many as the settings say, or as a steward asks for in advance: a reload that wants more is to
 * find them running before it changes anything, and to be refused if they do not come up. Nothing else is kept of it: a pair that
 * is not wanted and has a ledger retires, and so does one that a successor finds like that, or whose steward died before its reload
 * was accepted. Its relay is told, each one anew, and judges by itself when nothing is left to it: no listener, no session, no
 * event that the steward has not taken. Only it can, since the steward may have given it something in that very moment. */
#ifndef SUPERVISOR_WORKERS_H
#define SUPERVISOR_WORKERS_H
#include "supervisor/pair.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct tree;

/* What the steward asked for in advance, and what came of it. Member of the tree. */
struct growth {
	struct message_workers asked; /* workers 0: nothing, or it came to nothing */
	uint64_t deadline_ms;         /* until then all of them run */
	uint32_t answered;            /* number of the request that is answered */
	int error;
	char text[MESSAGE_TEXT_SIZE];
};

bool workers_want(const struct pair *pair);
bool workers_retires(const struct pair *pair); /* there is something of it, and it is not wanted */

/* Starts who is wanted, and has retire who is not. After a change of the settings, and a few times a second. */
void workers_fit(struct tree *tree);

/* The steward asks. */
void workers_on_asked(struct tree *tree, const struct message_workers *asked);
void workers_forget_asked(struct tree *tree); /* it is dead, or has what it asked for in force */

/* It could not be started, or died. */
void workers_on_failed(const struct pair *pair, const char *why);

/* What the steward is told of it. */
struct message_pairs workers_pairs(const struct tree *tree);

#endif
