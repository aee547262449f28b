/* Hand-over: a relay gives all the descriptors that its ledger lists, and those that its holder inherited, to another holder, the
 * heir, which the supervisor has started for it: of the same program or of another version. Each gets the same number there, so
 * the ledger stands as it is, and the heir's relay adopts as after a death.
 *
 * Here is what goes between the two and the side that gives; take_over.h is the other one. Who owns what, and what comes of each
 * death, is told in hand_over.c.
 *
 *   heir → giver   HERE    from then on the giver's sessions may rest: what takes its time (exec) is done
 *   giver → heir   BEGIN   the highest number that will come
 *   giver → heir   PART    descriptors, in ascending order of their numbers; as many of these as it takes
 *   giver → heir   WHOLE   that was all; what the ledger's owner word is now
 *   heir → giver   TAKEN   its relay has moved that word on: go */
#ifndef RELAY_HAND_OVER_H
#define RELAY_HAND_OVER_H
#include "relay/relay.h"

#include <stdint.h>

/* AT_ONCE: SCM_MAX_FD of the kernel. The version is that of this packet: two programs that hand over to each other must agree on
 * it. */
enum { HAND_OVER_MAGIC = 0x7477686f, HAND_OVER_VERSION = 1, HAND_OVER_AT_ONCE = 253 };

enum hand_over_kind { HAND_OVER_HERE = 1, HAND_OVER_BEGIN, HAND_OVER_PART, HAND_OVER_WHOLE, HAND_OVER_TAKEN };

struct hand_over_packet {
	uint32_t magic;
	uint16_t version, kind;
	uint64_t owner;                 /* WHOLE */
	uint32_t count;                 /* of descriptors: PART: with it, WHOLE: in all */
	uint32_t highest;               /* BEGIN */
	uint32_t number;                /* WHOLE: of this hand-over (struct message_hand_over) */
	uint32_t allowed_ms;            /* WHOLE: for the new relay to become ready */
	int32_t fds[HAND_OVER_AT_ONCE]; /* PART: their numbers */
};

/* One packet; fds, or NULL, go with it. 0 or -errno, as sendmsg(2) on a socket that does not wait. */
int hand_over_send(int channel, struct hand_over_packet *packet, enum hand_over_kind kind, const int *fds);

/* One packet, waiting for it at most so long (-1: for ever). fds: room for HAND_OVER_AT_ONCE; what came stands in packet->count,
 * without FD_CLOEXEC. 0; -ETIMEDOUT; -ECONNRESET: the other side is gone; -EPROTO: it is of another version, or out of its mind.
 */
int hand_over_receive(int channel, struct hand_over_packet *packet, int *fds, int wait_ms);

/* The packet that comes next, without its descriptors, which stays where it is. As hand_over_receive. */
int hand_over_peek(int channel, struct hand_over_packet *packet, int wait_ms);

/* HAND_OVER of the supervisor's: takes the channel. Whatever comes of it, this returns, or the process ends for its heir. */
void hand_over_asked(struct relay *relay, struct message *message);

#endif
