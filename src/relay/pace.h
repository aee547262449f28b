/* Making the kernel ask often enough on kernels without TCP_RTO_MAX_MS (before 6.15).
 *
 * Left alone, Linux spaces retransmissions and window probes ever further apart, up to two minutes, and answers do not make it
 * any faster while the peer's window stays closed. TCP_USER_TIMEOUT clamps each next gap to what is left until it is reached, so
 * it is moved ahead of the clock at each look: the gaps become at most side_policy.ask_gap_ms and a little more, and it is
 * reached only if the relay stands still for about that long. (net/ipv4/tcp_timer.c tcp_clamp_rto_to_user_timeout,
 * tcp_clamp_probe0_to_user_timeout.)
 *
 * While it is set, keepalive does not count its probes any more: it is taken back as soon as nothing is outstanding. */
#ifndef RELAY_PACE_H
#define RELAY_PACE_H
#include "wire/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct tcp_info;

struct pace {
	uint64_t since_ms; /* no later than the first question after the peer's last progress: the kernel's clock begins there */
	bool on;           /* TCP_USER_TIMEOUT is ours */
};

/* How often it must be called while something is outstanding, ms. */
uint32_t pace_every_ms(const struct side_policy *policy);

/* A predecessor may have set it: it is kept up or taken back at the next look. since_ms is as that one had seen it. */
void pace_adopt(struct pace *pace, const struct side_policy *policy, bool rto_max);

/* Looks at what the kernel would do next by itself, and clamps it. */
void pace_keep(struct pace *pace, const struct side_policy *policy, int fd, const struct tcp_info *info, uint64_t now_ms);

/* Nothing is outstanding. */
void pace_end(struct pace *pace, const struct side_policy *policy, int fd);

#endif
