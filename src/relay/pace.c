#include "relay/pace.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
	BACKOFF_MOST = 10,
	PROBE_LEAST_US = 200000,
	MARGIN_MS = 100,     /* a loop that comes later than this is too late to clamp a gap */
	POLL_MS = 20,        /* until the answer is seen */
	TIMER_NOISE_MS = 50, /* of what is reckoned from tcpi_last_ack_recv, which is in ticks of the kernel's clock */
};

uint32_t pace_every_ms(const struct side_policy *policy)
{
	return policy->ask_gap_ms / 2;
}

static bool is_ours(const struct side_policy *policy)
{
	return policy->ask_gap_ms && !policy->user_timeout_ms;
}

/* Such that it is reached then; 0: taken back. */
static void set(struct pace *pace, int fd, uint64_t reach_ms)
{
	uint32_t ms = reach_ms ? (uint32_t)(reach_ms - pace->since_ms) : 0;

	if (ms == pace->timeout_ms)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
	pace->timeout_ms = ms;
}

/* The gap that the kernel would have begun with its last question, by itself. With packets in flight the timeout is backed off
 * already, with a closed window only counted. */
static uint64_t own_gap_ms(const struct tcp_info *info)
{
	uint64_t base_us = info->tcpi_rto > PROBE_LEAST_US ? info->tcpi_rto : PROBE_LEAST_US;
	unsigned backoff = info->tcpi_backoff < BACKOFF_MOST ? info->tcpi_backoff : BACKOFF_MOST;

	return (info->tcpi_unacked ? base_us : base_us << backoff) / 1000;
}

void pace_begin(struct pace *pace, uint64_t since_ms)
{
	pace->since_ms = pace->sending_ms = since_ms;
	pace->probing_ms = 0;
}

/* looked_ms: the look before this. */
static void note_clock(struct pace *pace, const struct tcp_info *info, uint64_t looked_ms, uint64_t now_ms)
{
	if (info->tcpi_unacked) {
		if (!info->tcpi_backoff && !info->tcpi_retransmits)
			pace->sending_ms = now_ms;
		pace->since_ms = pace->sending_ms;
	} else {
		if (!pace->probing_ms)
			pace->probing_ms = looked_ms > pace->sending_ms ? looked_ms : pace->sending_ms;
		pace->since_ms = pace->probing_ms;
	}
}

/* The peer answers window probes: the answer set the timer anew, clamped by what the timeout was then. */
static void answered(struct pace *pace, int fd, const struct tcp_info *info, uint64_t heard_ms)
{
	uint64_t own_ms = heard_ms + own_gap_ms(info), reach_ms;

	/* When it asked after a clamped gap tells when the kernel's clock began. Taken a little too early, so that more is left
	 * until the timeout than is thought. */
	if (pace->clamped && pace->next_ms)
		pace->since_ms = pace->probing_ms +=
			heard_ms - pace->next_ms - TIMER_NOISE_MS; /* negative wraps, and is added so */
	reach_ms = pace->since_ms + pace->timeout_ms;
	pace->clamped = pace->timeout_ms && reach_ms < own_ms;
	pace->next_ms = pace->clamped ? reach_ms : own_ms;
	pace->heard_ms = heard_ms;
	set(pace, fd, 0);
}

uint64_t pace_keep(
	struct pace *pace, const struct side_policy *policy, int fd, const struct tcp_info *info, const struct pace_times *times)
{
	uint64_t now_ms = times->now_ms, heard_ms = times->heard_ms;
	uint64_t every_ms = pace_every_ms(policy);
	bool in_persist = !info->tcpi_unacked, answers = in_persist && !info->tcpi_probes;

	if (!is_ours(policy))
		return UINT64_MAX;
	note_clock(pace, info, times->looked_ms, now_ms);
	if (own_gap_ms(info) * 2 <= policy->ask_gap_ms) {
		pace->next_ms = 0;
		set(pace, fd, 0);
		return now_ms + every_ms;
	}
	if (answers && heard_ms > pace->heard_ms + TIMER_NOISE_MS)
		answered(pace, fd, info, heard_ms);
	/* Silent, or not asked when it was reckoned. */
	if (!answers || !pace->next_ms || now_ms > pace->next_ms + every_ms) {
		pace->next_ms = 0;
		set(pace, fd, now_ms + policy->ask_gap_ms + every_ms / 2);
		return now_ms + every_ms;
	}
	if (now_ms + MARGIN_MS < pace->next_ms)
		return pace->next_ms - MARGIN_MS;
	set(pace, fd, pace->next_ms + policy->ask_gap_ms);
	return now_ms < pace->next_ms ? pace->next_ms + POLL_MS : now_ms + POLL_MS;
}

void pace_adopt(struct pace *pace, const struct side_policy *policy)
{
	if (!is_ours(policy))
		return;
	/* Progress was seen at a look, and had happened by then. */
	pace->since_ms = pace->sending_ms = pace->probing_ms = pace->since_ms - policy->ask_gap_ms;
	pace->timeout_ms = 1; /* whatever it is */
}

void pace_end(struct pace *pace, const struct side_policy *policy, int fd)
{
	if (is_ours(policy))
		set(pace, fd, 0);
	pace->next_ms = 0;
}
