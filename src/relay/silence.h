/* Whether the peer of one side is dead, stalled or merely slow: the rule of wire/liveness.h, for as long as something is
 * outstanding. (While nothing is, the kernel's keepalive asks and judges, and costs us nothing.)
 *
 * A struct silence belongs to one side of a session. It begins when bytes or a FIN are given to that side, is looked at every now
 * and then, and is over at the look that finds everything acknowledged. All of it can be lost: a relay that starts begins anew.
 */
#ifndef RELAY_SILENCE_H
#define RELAY_SILENCE_H
#include "relay/pace.h"
#include "wire/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct tcp_info;

enum silence_verdict {
	SILENCE_OVER,  /* nothing is outstanding */
	SILENCE_WAITS, /* it may be slow */
	SILENCE_DEAD,
	SILENCE_STALLED, /* it lives but has taken nothing for stall_after */
	SILENCE_CLOSED,  /* its connection has failed: the kernel knows why */
};

/* CLOCK_MONOTONIC ms. */
struct silence {
	uint64_t outstanding_ms; /* since when something is, as far as is known; 0: nothing is */
	uint64_t look_ms;        /* when it is to be looked at again */
	uint64_t heard_ms;       /* the peer's last sign of life */
	uint64_t progress_ms;    /* since when it has acknowledged nothing more; once that is over: or a little longer, 0: not known */
	uint64_t acked;          /* tcpi_bytes_acked */
	uint32_t retransmits;    /* tcpi_total_retrans at that time: more of them are questions without an answer */
	uint64_t looked_ms;      /* when it was last looked at; 0: never, and heard_ms and retransmits mean nothing */
	struct pace pace;
};

/* Its connection has just been made: nothing was ever asked of it. Without this it is one that was adopted. */
void silence_start(struct silence *silence, uint64_t now_ms);

/* Something was given to that side now; since_ms: or as long ago as this, after a predecessor's death. alive_ms: when that peer was
 * known to live, 0: not known. */
void silence_begin(struct silence *silence, const struct side_policy *policy, uint64_t since_ms, uint64_t alive_ms, uint64_t now_ms);

/* What TCP_INFO says now. Sets look_ms, unless it is over. */
enum silence_verdict silence_judge(
	struct silence *silence, const struct side_policy *policy, const struct tcp_info *info, uint64_t now_ms);

/* Asks the kernel and judges. pace: and paces its questions, as it has no TCP_RTO_MAX_MS. */
enum silence_verdict silence_look(
	struct silence *silence, const struct side_policy *policy, int fd, bool pace, uint64_t now_ms);

#endif
