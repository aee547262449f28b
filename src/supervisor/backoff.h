/* How long to wait before a role is started again. Only deaths before it became ready count: what once worked is started again at
 * once, what cannot start is tried ever more slowly, and never given up. Pure arithmetic. */
#ifndef SUPERVISOR_BACKOFF_H
#define SUPERVISOR_BACKOFF_H
#include <stdint.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10000 };

struct backoff {
	uint32_t failures; /* deaths in a row before it was ready */
};

/* It is ready: what failed before is forgotten. */
void backoff_ready(struct backoff *backoff);

/* It died. Milliseconds until the next start; 0: at once. */
uint32_t backoff_died(struct backoff *backoff, int was_ready);

#endif
