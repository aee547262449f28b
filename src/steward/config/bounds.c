#include "steward/config/bounds.h"

#include "wire/liveness.h"

enum {
	RTO_MIN_MS = 200,       /* include/net/tcp.h TCP_RTO_MIN */
	RTO_MAX_MS = 120000,    /* TCP_RTO_MAX */
	TIMEOUT_INIT_MS = 1000, /* TCP_TIMEOUT_INIT: of a SYN */
	ORPHAN_RETRIES = 8,     /* what tcp_orphan_retries = 0 means as long as the peer may live */
};

static const struct bound never = {.ms = BOUND_NEVER, .by = BY_NOTHING};

/* The first of equals: who is named first has the better name for it. */
static struct bound earlier(struct bound a, struct bound b)
{
	return b.ms < a.ms ? b : a;
}

static struct bound if_set(uint32_t ms, enum bound_by by)
{
	return ms ? (struct bound){.ms = ms, .by = by} : never;
}

uint64_t bounds_backoff_ms(uint32_t retries, uint64_t first_ms, uint64_t most_ms)
{
	uint64_t gap_ms = first_ms, total_ms = 0;

	for (uint32_t i = 0; i <= retries; i++) {
		total_ms += gap_ms < most_ms ? gap_ms : most_ms;
		if (gap_ms < most_ms)
			gap_ms *= 2;
	}
	return total_ms;
}

bool bounds_are_paced(const struct side_policy *p, const struct kernel *k)
{
	return p->ask_gap_ms && (k->paces || !p->user_timeout_ms);
}

/* A TCP_USER_TIMEOUT that is moved ahead is a gap and a quarter away when it is: relay/pace.h. */
uint64_t bounds_gap_ms(const struct side_policy *p, const struct kernel *k)
{
	if (!bounds_are_paced(p, k))
		return k->rto_max_ms;
	if (!k->paces)
		return p->ask_gap_ms * 5ull / 4;
	return p->ask_gap_ms < k->rto_max_ms ? p->ask_gap_ms : k->rto_max_ms;
}

uint64_t bounds_retries_ms(const struct side_policy *p, const struct kernel *k)
{
	return bounds_backoff_ms(k->retries2, RTO_MIN_MS, bounds_gap_ms(p, k));
}

/* Whether it is time to give up is asked whenever a try has got no answer: the tries may be linear at first, the time that all
 * may take is reckoned as if they were not (retransmits_timed_out). */
uint64_t bounds_syn_ms(const struct kernel *k)
{
	uint64_t most_ms = k->rto_max_ms, allowed_ms = bounds_backoff_ms(k->syn_retries, TIMEOUT_INIT_MS, most_ms);
	uint64_t gap_ms = TIMEOUT_INIT_MS, at_ms = 0;

	for (uint32_t tries = 1;; tries++) {
		at_ms += gap_ms;
		if (at_ms >= allowed_ms || tries > k->syn_retries + k->syn_linear_timeouts)
			return at_ms;
		if (tries > k->syn_linear_timeouts)
			gap_ms = gap_ms * 2 < most_ms ? gap_ms * 2 : most_ms;
	}
}

struct bound bound_syn_received(const struct side_policy *p, const struct kernel *k)
{
	(void)p; /* a listener's TCP_RTO_MAX_MS changes nothing here */
	return (struct bound){.ms = bounds_backoff_ms(k->synack_retries, TIMEOUT_INIT_MS, RTO_MAX_MS), .by = BY_SYNACK_RETRIES};
}

/* tcp(7) speaks of synchronized states only, but tcp_write_timeout() asks for it here as well. */
struct bound bound_syn_sent(const struct side_policy *p, const struct kernel *k)
{
	struct bound ours =
		earlier(if_set(p->connect_timeout_ms, BY_CONNECT_TIMEOUT), if_set(p->user_timeout_ms, BY_USER_TIMEOUT));

	return earlier(ours, (struct bound){.ms = bounds_syn_ms(k), .by = BY_SYN_RETRIES});
}

/* tcp_keepalive_timer(): with TCP_USER_TIMEOUT the count does not count. What does is whether so much time has passed when the
 * next probe is due and one is out. */
struct bound bound_idle(const struct side_policy *p, const struct kernel *k)
{
	uint64_t idle_ms = p->keepalive_idle_s * 1000ull, interval_ms = p->keepalive_interval_s * 1000ull, probes = 1;

	(void)k;
	if (!idle_ms)
		return never;
	if (!p->user_timeout_ms)
		return (struct bound){.ms = liveness_idle_ms(p), .by = BY_KEEPALIVE};
	if (p->user_timeout_ms > idle_ms + interval_ms)
		probes = (p->user_timeout_ms - idle_ms + interval_ms - 1) / interval_ms;
	return (struct bound){.ms = idle_ms + probes * interval_ms, .by = BY_USER_TIMEOUT_PROBING};
}

/* Without dead_after stall_after is for the dead, too. */
static struct bound given_up_by_relay(const struct side_policy *p)
{
	return p->dead_after_ms ? if_set(p->dead_after_ms, BY_DEAD_AFTER) : if_set(p->stall_after_ms, BY_STALL_AFTER);
}

/* The kernel alone, bytes being outstanding. Where TCP_USER_TIMEOUT is set, be it moved ahead by the relay, it stands in the
 * place of tcp_retries2 for what is sent, and beside it for window probes. */
static struct bound given_up_by_kernel(const struct side_policy *p, const struct kernel *k, bool probing)
{
	struct bound timeout = if_set(p->user_timeout_ms, BY_USER_TIMEOUT),
		     retries = {.ms = bounds_retries_ms(p, k), .by = BY_RETRIES, .at_least = true};

	if (!probing && (p->user_timeout_ms || (bounds_are_paced(p, k) && !k->paces)))
		return timeout;
	return earlier(timeout, retries);
}

struct bound bound_unacknowledged(const struct side_policy *p, const struct kernel *k)
{
	return earlier(given_up_by_relay(p), given_up_by_kernel(p, k, false));
}

struct bound bound_window_closed(const struct side_policy *p, const struct kernel *k)
{
	return earlier(given_up_by_relay(p), given_up_by_kernel(p, k, true));
}

/* The worst moment to write is just before keepalive would have found it: with bytes outstanding it asks no more, and all clocks
 * but that of dead_after begin with the write. */
struct bound bound_write_after_silence(const struct side_policy *p, const struct kernel *k)
{
	struct bound idle = bound_idle(p, k), dead = never, other = given_up_by_kernel(p, k, false);

	if (p->dead_after_ms)
		dead = (struct bound){.ms = liveness_write_ms(p), .by = BY_DEAD_AFTER, .from_write = !p->keepalive_idle_s};
	else
		other = earlier(given_up_by_relay(p), other);
	if (idle.ms == BOUND_NEVER)
		other.from_write = true;
	else if (other.ms != BOUND_NEVER)
		other.ms += idle.ms;
	return earlier(dead, other);
}

/* tcp_probe_timer(): TCP_USER_TIMEOUT counts from the first window probe, and an answer does not begin it anew. */
struct bound bound_not_reading(const struct side_policy *p, const struct kernel *k)
{
	(void)k;
	return earlier(if_set(p->stall_after_ms, BY_STALL_AFTER), if_set(p->user_timeout_ms, BY_USER_TIMEOUT));
}

static struct bound within_linger(const struct side_policy *p, struct bound bound)
{
	if (p->linger == LINGER_RESET)
		return (struct bound){.ms = 0, .by = BY_LINGER};
	return earlier(if_set(p->linger_timeout_ms, BY_LINGER_TIMEOUT), bound);
}

struct bound bound_closing(const struct side_policy *p, const struct kernel *k)
{
	return within_linger(p, bound_unacknowledged(p, k));
}

struct bound bound_not_taking_the_end(const struct side_policy *p, const struct kernel *k)
{
	return within_linger(p, bound_not_reading(p, k));
}

struct bound bound_background(const struct side_policy *p, const struct kernel *k)
{
	(void)k;
	return if_set(p->linger_timeout_ms, BY_USER_TIMEOUT_AT_CLOSE);
}

struct bound bound_background_window_closed(const struct side_policy *p, const struct kernel *k)
{
	uint32_t retries = k->orphan_retries ? k->orphan_retries : ORPHAN_RETRIES;

	return earlier(if_set(p->linger_timeout_ms, BY_USER_TIMEOUT_AT_CLOSE),
		(struct bound){
			.ms = bounds_backoff_ms(retries, RTO_MIN_MS, RTO_MAX_MS), .by = BY_ORPHAN_RETRIES, .at_least = true});
}

struct bound bound_awaited_fin(const struct side_policy *p, const struct kernel *k)
{
	(void)p;
	return (struct bound){.ms = k->fin_timeout_s * 1000ull, .by = BY_FIN_TIMEOUT};
}
