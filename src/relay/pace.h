/* Making the kernel ask often enough on kernels without TCP_RTO_MAX_MS (before 6.15).
 *
 * Left alone, Linux spaces retransmissions and window probes ever further apart, up to two minutes, and while the peer's window stays closed
 * answers do not shorten the gaps. TCP_USER_TIMEOUT clamps each gap, when its timer is set, to what is left until that timeout; and
 * once it is reached the connection is killed, whether the peer answers or not. (net/ipv4/tcp_timer.c
 * tcp_clamp_rto_to_user_timeout, tcp_clamp_probe0_to_user_timeout, tcp_probe_timer.)
 *
 *   OFF ── the gaps would grow too long ──► AHEAD: moved ahead of the clock at each look, so that it is never reached
 *    ▲                                        │ the window is closed and a probe was answered: the timer's next moment is known
 *    │                                        ▼
 *    └── nothing is outstanding ──────────── SET only around that moment, else taken back. If the relay is stopped outside of it, a
 *                                            peer that lives but does not read is not killed, only asked less often for a while.
 *
 * While it is set keepalive does not count its probes, so it is taken back as soon as nothing is outstanding. */
#ifndef RELAY_PACE_H
#define RELAY_PACE_H
#include "wire/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct tcp_info;

/* CLOCK_MONOTONIC ms. All of it may be lost. */
struct pace {
	uint64_t since_ms; /* the kernel's clock for the timeout began then or a little later; one of these two: */
	uint64_t sending_ms; /* for retransmissions, the last look that found none under way */
	uint64_t probing_ms; /* for window probes, the look before the first that found the window closed; 0: none has. A window
	                        that opens only in part does not stop that clock (tcp_ack_probe) */
	uint32_t timeout_ms; /* what is set, 0: nothing. Reached at since_ms + timeout_ms, or a little later */
	uint64_t heard_ms; /* the last answer that was seen */
	uint64_t next_ms;  /* when the kernel will ask next; 0: not known */
	bool clamped;      /* because its gap was clamped, so by since_ms */
};

/* How often it must be called while something is outstanding, ms; it may ask to be called earlier. */
uint32_t pace_every_ms(const struct side_policy *policy);

/* Something is outstanding since then. */
void pace_begin(struct pace *pace, uint64_t since_ms);

/* A predecessor may have set it: it is kept up or taken back at the next look. */
void pace_adopt(struct pace *pace, const struct side_policy *policy);

/* When the peer last gave a sign of life, when it was looked at before this, and now. */
struct pace_times {
	uint64_t heard_ms, looked_ms, now_ms;
};

/* Looks at what the kernel would do next by itself, and clamps it. Returns when it is to be called again at the latest. */
uint64_t pace_keep(struct pace *pace, const struct side_policy *policy, int fd, const struct tcp_info *info,
	const struct pace_times *times);

/* Nothing is outstanding. */
void pace_end(struct pace *pace, const struct side_policy *policy, int fd);

#endif
