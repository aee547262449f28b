/* What follows from dead_after: how often a peer is asked for a sign of life, and what counts as its silence.
 *
 * A peer is dead when three things hold: nothing has come from it for dead_after; at least LIVENESS_ASKS questions went out since
 * and were not answered; and the first of these is at least LIVENESS_ASKED_PERCENT of dead_after ago. So silence that nobody
 * tried to break counts for nothing, and a link that is cut for less than some three quarters of dead_after kills no one.
 * Questions are keepalive probes while nothing is outstanding, and retransmissions or window probes while something is. The
 * kernel spaces the latter ever further apart, up to two minutes, unless it is paced: see relay/pace.h. */
#ifndef WIRE_LIVENESS_H
#define WIRE_LIVENESS_H
#include "wire/policy.h"

#include <stdbool.h>

enum {
	LIVENESS_ASKS = 2,
	LIVENESS_ASKED_PERCENT = 85,
	LIVENESS_LEAST_MS = 3000,      /* keepalive counts in seconds, and one lost probe is to kill no one */
	LIVENESS_MOST_MS = 15 * 60000, /* the kernel gives up by itself then: tcp_retries2, ip-sysctl */
};

/* What stands in a config until liveness_derive: for keepalive_idle_s. What was not said is 0. */
enum { KEEPALIVE_OFF = INT32_MAX };

/* Fills in what the config left open: keepalive numbers that were not said, so that an idle peer which does not answer is dead
 * within dead_after, and ask_gap_ms. */
void liveness_derive(struct side_policy *side);

/* Sessions that began together would have the kernel ask together, and a host has room for so many packets at once: net.core.netdev_max_backlog
 * on loopback, 1000. Which are too many are dropped, and a second later the same ones again. So some are asked first an interval or more
 * earlier, and once more for each. n: which session; the time after which a silent peer is dead stays as it is. */
void liveness_spread(struct side_policy *side, uint32_t n);

/* The time after which an idle peer that answers nothing is dead by keepalive, ms; 0: never. */
uint64_t liveness_idle_ms(const struct side_policy *side);

/* The latest that a peer is dead that vanished while it was idle, and is written to just before it would be asked; ms, 0: never.
 */
uint64_t liveness_write_ms(const struct side_policy *side);

/* What the socket option TCP_RTO_MAX_MS is on a new socket (sysctl tcp_rto_max_ms), ms; 0: this kernel does not have it (before 6.15).
 * net/ipv4/tcp.c do_tcp_getsockopt. */
uint32_t liveness_kernel_rto_max_ms(void);

/* Whether relays are told to do without it: TCPWARDEN_NO_RTO_MAX is set, for tests. */
bool liveness_no_rto_max(void);

#endif
