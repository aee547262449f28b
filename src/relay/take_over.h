/* The heir's side of a hand-over (hand_over.h): a holder that was started with --take-over and becomes what it was told it is. */
#ifndef RELAY_TAKE_OVER_H
#define RELAY_TAKE_OVER_H
#include <stdint.h>

/* What the heir's relay needs to become the owner, and to say so. */
struct inheritance {
	int giver;           /* the channel; the relay closes it when it sorts its descriptors */
	uint64_t owner;      /* the ledger's owner word, to be moved on from */
	uint32_t number;     /* of this hand-over */
	uint32_t allowed_ms; /* for our relay to become ready */
};

/* Waits for all descriptors and puts each at its number. The giver may end at any time: then there is nothing to wait for. 0 or
 * -errno. */
int take_over(struct inheritance *ret);

/* The numbers below HOLDER_INHERITED_END that are not in use are occupied, so that none becomes a session's. */
void take_reserved_numbers(void);

#endif
