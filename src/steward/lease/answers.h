/* What is owed to relays: verdicts, and that ends are durable. Given from the loop, in order, never from within a call.
 * A member of struct leases; ends by answers_fini. */
#ifndef STEWARD_LEASE_ANSWERS_H
#define STEWARD_LEASE_ANSWERS_H
#include "steward/lease/leases.h"

struct answer;

struct answers {
	struct answer *first, **end;
};

void answers_init(struct answers *answers);
void answers_fini(struct answers *answers); /* what is still owed is forgotten */

/* A verdict, or without one: that its end is durable. Without memory it is lost, and said so: its asker says it again. */
void answers_owe(struct answers *answers, const struct session_key *key, const struct message_verdict *verdict);

/* All of it; also what is owed while it runs. */
void answers_give(struct answers *answers, const struct lease_callbacks *callbacks, void *context);

#endif
