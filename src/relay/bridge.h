/* A bridge: what two living relays share so that sessions can go from the one to the other, one by one: a channel, and each the
 * other's ledger, which it only reads. The supervisor makes it (BRIDGE) and says who gives (GIVE); both ends stand in the
 * ledgers, so a relay's death closes nothing. Whoever lets go of it settles what he has offered and strikes the bridge from his
 * ledger, before he closes his end; so an end of file while the other's ledger still lists it means that the other descriptor
 * table is gone.
 *
 * Here is what goes over it. give.c heads with who owns a session at each step, and what each death leads to; arrive.h is the
 * other side. A packet is only a hint: what it says stands in the giver's ledger, or in the taker's.
 *
 *   giver → taker   ASK     are you there?
 *   taker → giver   READY   yes; or: I have started, and know only of what I have listed
 *   giver → taker   OFFER   a session: its slot, its descriptors
 *   taker → giver   HAVE    all of it is listed here, as ARRIVING
 *   taker → giver   NO      there is no place for it now
 *   giver → taker   BACK    I go on with it myself
 *   giver → taker   GO      it is GONE from me: begin it
 *   taker → giver   DONE    begun, now or earlier
 *   giver → taker   END     that one, which you have now, is to be ended by us */
#ifndef RELAY_BRIDGE_H
#define RELAY_BRIDGE_H
#include "relay/relay.h"

#include <stdint.h>

enum { BRIDGE_MAGIC = 0x74776272, BRIDGE_VERSION = 1, BRIDGE_FDS_MAX = 3 * SIDES };

enum bridge_kind {
	BRIDGE_ASK = 1,
	BRIDGE_READY,
	BRIDGE_OFFER,
	BRIDGE_HAVE,
	BRIDGE_NO,
	BRIDGE_BACK,
	BRIDGE_GO,
	BRIDGE_DONE,
	BRIDGE_END,
};

struct bridge_packet {
	uint32_t magic;
	uint16_t version, kind;
	uint64_t offer;
	uint32_t giver_slot, taker_slot;
	uint32_t generation;      /* OFFER: of the plan in force there */
	uint32_t capacity[SIDES]; /* OFFER: of its pipes */
	uint32_t now;             /* END: reset without delivering */
	struct reason reason;     /* END */
	struct slot slot;         /* OFFER */
};

/* On the heap, in relay->bridges, from BRIDGE until another BRIDGE for the same relay replaces it. */
struct bridge {
	struct relay *relay;
	uint32_t other, incarnation; /* the other pair */
	uint64_t number;
	struct ledger ledger; /* of the other, read-only */
	int channel;          /* -1: closed */
	uv_poll_t poll;
	bool polled;     /* that has a handle to be closed */
	bool replaced;   /* there is another incarnation of that pair */
	bool ready;      /* to take what we offer */
	uint64_t ask_ms; /* not ready: when to ask again */
};

/* At start, once all that the ledger lists is adopted. */
void bridges_start(struct relay *relay);

/* BRIDGE of the supervisor's: takes its descriptors. */
void bridge_told(struct relay *relay, struct message *message);

/* At each heartbeat. */
void bridges_beat(struct relay *relay);

/* The one to that incarnation of a pair, or NULL. */
struct bridge *bridge_to(const struct relay *relay, uint32_t other, uint32_t incarnation);

/* The other descriptor table is gone: nothing of what its ledger says will ever change. */
bool bridge_other_is_gone(const struct bridge *bridge);

/* 0 or -errno: -EAGAIN, -ENOBUFS, -ETOOMANYREFS: the other side is behind; -EPIPE: it is closed. fds: of OFFER. */
int bridge_say(struct bridge *bridge, enum bridge_kind kind, struct bridge_packet *packet, const int *fds, int count);

#endif
