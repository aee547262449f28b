/* How many pairs there are to be, and what becomes of one that is too many.
 *
 *   ABSENT ── wanted ──► SERVING ── not wanted any more ──► RETIRING ── its relay has nothing left, and ends ──► ABSENT
 *                           ▲                                  │
 *                           └────────── wanted again ──────────┘
 *
 * Wanted are the lowest indices, as many as the settings say. Nothing else is kept of it: a pair that is not wanted and has a
 * ledger retires, and so does one that a successor finds like that. Its relay is told, each one anew, and judges by itself when
 * nothing is left to it: no listener, no session, no event that the steward has not taken. Only it can, since the steward may
 * have given it something in that very moment. */
#ifndef SUPERVISOR_WORKERS_H
#define SUPERVISOR_WORKERS_H
#include "supervisor/pair.h"
#include "wire/message.h"

#include <stdbool.h>

struct tree;

bool workers_want(const struct pair *pair);
bool workers_retires(const struct pair *pair); /* there is something of it, and it is not wanted */

/* Starts who is wanted, and has retire who is not. After a change of the settings, and a few times a second. */
void workers_fit(struct tree *tree);

/* What the steward is told of it. */
struct message_pairs workers_present(const struct tree *tree);

#endif
