#include "relay/pace.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { BACKOFF_MOST = 10, PROBE_LEAST_US = 200000 };

uint32_t pace_every_ms(const struct side_policy *policy)
{
	return policy->ask_gap_ms / 2;
}

static void set(int fd, uint32_t ms)
{
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/* The gap after the next question, by itself. With packets in flight the timeout is backed off already, with a closed window only
 * counted. */
static uint64_t coming_gap_ms(const struct tcp_info *info)
{
	uint64_t base_us = info->tcpi_rto > PROBE_LEAST_US ? info->tcpi_rto : PROBE_LEAST_US;
	unsigned backoff = info->tcpi_backoff < BACKOFF_MOST ? info->tcpi_backoff : BACKOFF_MOST;

	return (info->tcpi_unacked ? base_us : base_us << backoff) * 2 / 1000;
}

void pace_keep(struct pace *pace, const struct side_policy *policy, int fd, const struct tcp_info *info, uint64_t now_ms)
{
	if (!policy->ask_gap_ms || policy->user_timeout_ms)
		return;
	if (!pace->on && coming_gap_ms(info) <= policy->ask_gap_ms)
		return;
	pace->on = true;
	set(fd, (uint32_t)(now_ms - pace->since_ms) + policy->ask_gap_ms + pace_every_ms(policy));
}

void pace_adopt(struct pace *pace, const struct side_policy *policy, bool rto_max)
{
	pace->on = !rto_max && policy->ask_gap_ms && !policy->user_timeout_ms;
	/* Its progress was seen at a look, and had happened by then. */
	pace->since_ms -= policy->ask_gap_ms;
}

void pace_end(struct pace *pace, const struct side_policy *policy, int fd)
{
	if (pace->on)
		set(fd, policy->user_timeout_ms);
	pace->on = false;
}
