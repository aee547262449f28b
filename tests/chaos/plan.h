/* What one side of a session is to do. A pure function of seed, session and side, so that each side knows both plans, and one
 * number makes the whole run again. */
#ifndef CHAOS_PLAN_H
#define CHAOS_PLAN_H
#include <stdbool.h>
#include <stdint.h>

enum side { CLIENT, BACKEND };

/* How a side ends. P(NAME, word, what): orderly ones read to the end of the peer's stream. */
#define ENDS(P)                                                                                                                  \
	P(FIN, "fin", "ends its stream when it has sent all")                                                                    \
	P(LATE, "late", "ends its stream when the peer has ended, too; it may begin to send only then")                          \
	P(RESET_SENT, "reset_sent", "resets when it has sent so much")                                                           \
	P(RESET_RECEIVED, "reset_received", "resets when it has received so much")                                               \
	P(RESET_AFTER_FIN, "reset_after_fin", "ends its stream in order, and resets some time later")                            \
	P(RESET_AFTER_PEER, "reset_after_peer", "resets when the peer has ended")                                                \
	P(RESET_UNREAD, "reset_unread", "stops reading, and resets when something waits to be read")                             \
	P(RESET_FROZEN, "reset_frozen", "stops reading and sends on, and resets some seconds later")                             \
	P(CLOSE, "close", "closes when it has sent so much, whatever still comes")                                               \
	P(CLOSE_UNREAD, "close_unread", "stops reading, and closes when something waits to be read")                             \
	P(VANISH, "vanish", "from some point on nothing reaches it, and nothing that it sends reaches anyone")

enum plan_end {
#define P(NAME, word, what) END_##NAME,
	ENDS(P)
#undef P
		END_COUNT
};

struct plan {
	enum plan_end end;
	uint64_t total;                       /* bytes to send, a client's hello not counted */
	uint64_t cut;                         /* where its end comes, if not in order: bytes sent or received, as `end` says */
	uint32_t delay_ms;                    /* from that point to its end */
	uint32_t patience_ms;                 /* an end not in order comes then, even if its point is never reached */
	uint32_t settle_ms;                   /* an end not in order comes so long after its last packet; see books_settle */
	bool holds;                           /* END_LATE: sends nothing before the peer has ended */
	uint32_t message_max, pause_max_ms;   /* one message, and the time after it */
	uint32_t read_max, read_pause_max_ms; /* one read, and the time after it */
	uint32_t pauses_ms;                   /* most time spent with pauses of each kind */
	uint64_t freeze_at;                   /* stops reading for a while when so much has been received */
	uint32_t freeze_ms;                   /* 0: never */
	uint32_t urgent_one_in;               /* messages that end with an urgent byte; 0: none */
	int send_buffer, receive_buffer;      /* bytes; 0: the system's */
	bool nodelay;
};

enum { PLAN_DRAWS = 1 << 10 };

/* What all plans of a run follow from. */
struct run {
	uint64_t seed;
	bool vanishes; /* some sides end so: END_VANISH */
};

/* The n-th random number of one side of a session. Those below PLAN_DRAWS are the plan's own. */
uint64_t plan_draw(const struct run *run, uint64_t id, enum side side, uint64_t n);

void plan_make(struct plan *ret, const struct run *run, uint64_t id, enum side side);

bool plan_is_orderly(enum plan_end end);
const char *plan_end_word(enum plan_end end);

#endif
