/* The supervisor, as a relay sees it: its pidfd, which says that it died, and the channel on which a successor says that it has
 * taken its place. Between the two the relay serves on, and ends what is its own if nobody comes. Member of the relay. */
#ifndef RELAY_PARENT_H
#define RELAY_PARENT_H
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct relay;

struct parent {
	uv_poll_t death, channel;
	uint64_t orphan_ms; /* since when it is dead, 0: it lives */
	bool ended;         /* and our sessions were ended for that */
};

/* Says to it who we and our holder are, and watches. `holder`: a pidfd, -1: there is none. 0 or -errno. */
int parent_start(struct relay *relay, int holder);

/* An orphaned tree is ended by the steward, in order; should that be dead, too, we end what is ours. True: nothing is left to do.
 * What the steward did not take note of is found in its database by the next one, and released. */
bool parent_orphan_is_done(struct relay *relay);

#endif
