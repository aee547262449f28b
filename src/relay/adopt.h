/* The one way to start a relay, first or hundredth: what the ledger lists is adopted, what it does not list is sorted.
 *
 * The epoll set is taken over with the sockets in it, so it tells which of thousands of sessions have something to do: these are adopted
 * first, and whoever is adopted is served, and who is new accepted, while others still wait. Messages and timers wait until all are. */
#ifndef RELAY_ADOPT_H
#define RELAY_ADOPT_H
#include "relay/relay.h"
#include "relay/table.h"

struct session;

/* Descriptors that nothing lists: clients that a predecessor had accepted and not yet listed, in a list of its own. */
struct adopt_fresh {
	int *fd;
	uint32_t count, room;
};

/* Before anything else opens a descriptor for good: closes what nothing lists, but for fresh clients and the epoll set. */
void adopt_sort(struct relay *relay, const struct table *table, struct adopt_fresh *ret);

/* One that stands between two steps, and is ours from here on: it was taken back, or given to us. */
void adopt_moved(struct relay *relay, struct session *session);

/* Takes up every listed session where the kernel's books say that it stands, begins the fresh clients, and watches the listeners. */
void adopt_sessions(struct relay *relay, struct adopt_fresh *fresh);

/* One that waits for it, out of turn: it is taken up, or dropped if it cannot be right. */
void adopt_session(struct relay *relay, struct session *session);

#endif
