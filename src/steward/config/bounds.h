/* When a peer is given up, in each thing that its connection may be doing, and by whom: what follows from the policy of its side
 * and from the kernel's numbers. Pure arithmetic. The kernel's part of it is net/ipv4/tcp_timer.c and was measured.
 *
 * Times count from the peer's last sign of life, and are the latest that it may take, but for a tenth of them or a second. */
#ifndef STEWARD_CONFIG_BOUNDS_H
#define STEWARD_CONFIG_BOUNDS_H
#include "steward/config/kernel.h"
#include "wire/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define BOUND_NEVER UINT64_MAX

enum bound_by {
	BY_NOTHING, /* and so never */
	BY_DEAD_AFTER,
	BY_KEEPALIVE,
	BY_USER_TIMEOUT,
	BY_USER_TIMEOUT_PROBING, /* keepalive whose count user_timeout stands for */
	BY_RETRIES,
	BY_STALL_AFTER,
	BY_CONNECT_TIMEOUT,
	BY_SYN_RETRIES,
	BY_SYNACK_RETRIES,
	BY_LINGER, /* the word of linger says so */
	BY_LINGER_TIMEOUT,
	BY_USER_TIMEOUT_AT_CLOSE, /* linger_timeout becomes one */
	BY_ORPHAN_RETRIES,
	BY_FIN_TIMEOUT,
};

struct bound {
	uint64_t ms;
	enum bound_by by;
	bool at_least;   /* on a path without delay; the kernel's own patience grows with it */
	bool from_write; /* counts from the write: nothing was asked before */
};

/* How long the kernel takes for a first try and so many more, each twice as long after the last as that was, but never longer
 * than most_ms: tcp_model_timeout(). */
uint64_t bounds_backoff_ms(uint32_t retries, uint64_t first_ms, uint64_t most_ms);

/* Whether a relay has the kernel ask more often than it would. */
bool bounds_are_paced(const struct side_policy *p, const struct kernel *k);

/* The gap at which the kernel asks while bytes are outstanding, at most, ms. */
uint64_t bounds_gap_ms(const struct side_policy *p, const struct kernel *k);

/* How long the kernel asks before it gives up by itself, ms. */
uint64_t bounds_retries_ms(const struct side_policy *p, const struct kernel *k);

/* How long it sends SYNs, ms. */
uint64_t bounds_syn_ms(const struct kernel *k);

struct bound bound_syn_received(const struct side_policy *p, const struct kernel *k); /* not a session yet */
struct bound bound_syn_sent(const struct side_policy *p, const struct kernel *k);
struct bound bound_idle(const struct side_policy *p, const struct kernel *k);
struct bound bound_unacknowledged(const struct side_policy *p, const struct kernel *k);
struct bound bound_write_after_silence(const struct side_policy *p, const struct kernel *k);
struct bound bound_window_closed(const struct side_policy *p, const struct kernel *k);
struct bound bound_not_reading(const struct side_policy *p, const struct kernel *k); /* window closed, and it lives */
/* The session is over and our FIN not acknowledged: of the dead, and of the living. */
struct bound bound_closing(const struct side_policy *p, const struct kernel *k);
struct bound bound_not_taking_the_end(const struct side_policy *p, const struct kernel *k);

/* Closed: the kernel goes on alone, with bytes unacknowledged, with its window closed, or only to see the peer's FIN. */
struct bound bound_background(const struct side_policy *p, const struct kernel *k);
struct bound bound_background_window_closed(const struct side_policy *p, const struct kernel *k);
struct bound bound_awaited_fin(const struct side_policy *p, const struct kernel *k);

#endif
