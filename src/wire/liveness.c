#include "wire/liveness.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPREAD_PERCENT = 75, SPREAD_MOST = 7 }; /* of the time to the first probe; intervals */
enum { KEEPALIVE_MOST_S = 32767, GAP_LEAST_MS = 1000, GAP_MOST_MS = 120000, RTO_MAX_MS = 44 };

static uint32_t at_least(uint32_t n, uint32_t least)
{
	return n > least ? n : least;
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

/* The first question after a fifth of dead_after, and then as many as fit: on a path that loses every third packet none of them
 * may be the one that counts. */
static void derive_keepalive(struct side_policy *side)
{
	uint32_t dead_s = side->dead_after_ms / 1000, interval_s, count;

	interval_s = side->keepalive_interval_s ? side->keepalive_interval_s : at_least(dead_s / 15, 1);
	count = side->keepalive_count;
	if (!count && !side->keepalive_idle_s && !side->keepalive_interval_s) {
		uint32_t steps = at_least(dead_s / 5, 1) * SPREAD_PERCENT / 100 / interval_s;

		side->keepalive_steps = (uint8_t)at_most(steps, SPREAD_MOST);
	}
	if (!count) {
		uint32_t idle_s = side->keepalive_idle_s ? side->keepalive_idle_s : at_least(dead_s / 5, 1);

		count = at_most(at_least(dead_s > idle_s ? (dead_s - idle_s) / interval_s : 0, 2), 127);
	}
	if (!side->keepalive_idle_s)
		side->keepalive_idle_s = dead_s > interval_s * count ? dead_s - interval_s * count : 1;
	side->keepalive_idle_s = at_most(side->keepalive_idle_s, KEEPALIVE_MOST_S);
	side->keepalive_interval_s = interval_s;
	side->keepalive_count = count;
}

void liveness_derive(struct side_policy *side)
{
	bool off = !side->dead_after_ms;

	/* Probes of its own without dead_after: what is not said is as for the default dead_after. */
	if (side->keepalive_idle_s == KEEPALIVE_OFF ||
		(off && !side->keepalive_idle_s && !side->keepalive_interval_s && !side->keepalive_count)) {
		side->keepalive_idle_s = 0;
	} else if (off) {
		side->dead_after_ms = 60000;
		derive_keepalive(side);
		side->dead_after_ms = 0;
	} else {
		derive_keepalive(side);
	}
	/* Fifteen questions so far apart take longer than dead_after, and a cut link is asked soon after it has healed. */
	side->ask_gap_ms = off ? 0 : at_most(at_least(side->dead_after_ms / 15 * 2, GAP_LEAST_MS), GAP_MOST_MS);
}

void liveness_spread(struct side_policy *side, uint32_t n)
{
	uint32_t steps = n % (side->keepalive_steps + 1u);

	side->keepalive_idle_s -= steps * side->keepalive_interval_s;
	side->keepalive_count += steps;
}

uint64_t liveness_idle_ms(const struct side_policy *side)
{
	if (!side->keepalive_idle_s)
		return 0;
	return (side->keepalive_idle_s + (uint64_t)side->keepalive_interval_s * side->keepalive_count) * 1000;
}

uint64_t liveness_write_ms(const struct side_policy *side)
{
	uint64_t asked_ms = (uint64_t)side->dead_after_ms * LIVENESS_ASKED_PERCENT / 100;
	uint64_t idle_ms = (uint64_t)side->keepalive_idle_s * 1000;

	if (!side->dead_after_ms)
		return 0;
	/* Without probes no one asks before the write: it is the write from which on it counts. */
	if (!idle_ms || idle_ms + asked_ms < side->dead_after_ms)
		return side->dead_after_ms;
	return idle_ms + asked_ms;
}

uint32_t liveness_kernel_rto_max_ms(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), value = 0;
	socklen_t length = sizeof value;
	bool has = fd >= 0 && getsockopt(fd, IPPROTO_TCP, RTO_MAX_MS, &value, &length) == 0;

	if (fd >= 0)
		close(fd);
	return has && value > 0 ? (uint32_t)value : 0;
}

bool liveness_no_rto_max(void)
{
	const char *told = getenv("TCPWARDEN_NO_RTO_MAX");

	return told && *told;
}
