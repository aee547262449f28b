/* The one way to start a relay, first or hundredth: what the ledger lists is adopted, what it does not list is sorted. */
#ifndef RELAY_ADOPT_H
#define RELAY_ADOPT_H
#include "relay/relay.h"

/* Descriptors that nothing lists: clients that a predecessor had accepted and not yet listed, in a list of its own. */
struct adopt_fresh {
	int *fd;
	uint32_t count;
};

/* Which numbers stand for something: the inherited ones, and all that the ledger lists. An array of *ret_size bytes, 1: listed;
 * the caller frees it. NULL: no memory. */
uint8_t *adopt_list(const struct relay *relay, uint32_t *ret_size);

/* Before anything else opens a descriptor for good: closes what nothing lists, but for fresh clients. 0 or -errno. */
int adopt_sort(struct relay *relay, struct adopt_fresh *ret);

/* Takes up every listed session where the kernel's books say that it stands, begins the fresh clients, then watches the listeners. */
void adopt_sessions(struct relay *relay, struct adopt_fresh *fresh);

#endif
