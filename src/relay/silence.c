#include "relay/silence.h"

#include "relay/books.h"
#include "wire/liveness.h"

#include <linux/tcp.h>

enum { CLOSE = 7 }; /* include/net/tcp_states.h */
enum {
	LOOKS = 4,           /* in dead_after, or stall_after */
	FIRST_LOOK = 20,     /* the first at one who was silent before comes after this part of dead_after */
	LOOKS_IN_GAP = 8,    /* when it is due and only the kernel's questions, or a sign of life, are wanting */
	TIMER_NOISE_MS = 50, /* tcpi_last_ack_recv is in ticks of the kernel's clock: two readings of one moment differ */
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Often enough that what was heard between two looks leaves time for questions after it. */
static uint64_t look_every_ms(const struct side_policy *p)
{
	uint32_t bound_ms = p->dead_after_ms;

	if (!bound_ms || (p->stall_after_ms && p->stall_after_ms < bound_ms))
		bound_ms = p->stall_after_ms;
	return bound_ms ? bound_ms / LOOKS : LIVENESS_LEAST_MS;
}

void silence_start(struct silence *silence, uint64_t now_ms)
{
	silence->looked_ms = silence->heard_ms = now_ms;
}

void silence_begin(
	struct silence *silence, const struct side_policy *policy, uint64_t since_ms, uint64_t alive_ms, uint64_t now_ms)
{
	uint64_t silent_since_ms = later(alive_ms, silence->heard_ms);

	silence->outstanding_ms = silence->progress_ms = since_ms;
	pace_begin(&silence->pace, since_ms);
	silence->look_ms = now_ms + look_every_ms(policy);
	/* It may have been silent for long, and keepalive may have asked already. */
	if (policy->dead_after_ms)
		silence->look_ms = earlier(silence->look_ms,
			later(silent_since_ms + policy->dead_after_ms, now_ms + policy->dead_after_ms / FIRST_LOOK));
}

static void note(struct silence *silence, const struct tcp_info *info, uint64_t now_ms)
{
	/* A segment that acknowledges nothing new moves only last_data_recv. */
	uint64_t silent_ms = earlier(info->tcpi_last_ack_recv, info->tcpi_last_data_recv),
		 heard_ms = now_ms - earlier(silent_ms, now_ms);
	bool first = silence->looked_ms == 0;

	if (first || heard_ms > silence->heard_ms + TIMER_NOISE_MS) {
		silence->heard_ms = heard_ms;
		/* Heard before anything was outstanding: then all that was sent again since is a question. */
		if (first || heard_ms > silence->outstanding_ms)
			silence->retransmits = info->tcpi_total_retrans;
	}
	if (info->tcpi_bytes_acked > silence->acked) {
		if (!first)
			silence->progress_ms = later(silence->progress_ms, heard_ms);
		silence->acked = info->tcpi_bytes_acked;
	}
	silence->looked_ms = now_ms;
}

/* Since when there have been questions without an answer: since something was outstanding, or, if it was idle before, since
 * keepalive asked. */
static uint64_t asked_ms(const struct silence *silence, const struct side_policy *policy, const struct tcp_info *info)
{
	uint64_t first_probe_ms = silence->heard_ms + (uint64_t)policy->keepalive_idle_s * 1000;

	if (info->tcpi_probes && policy->keepalive_idle_s && first_probe_ms < silence->outstanding_ms)
		return first_probe_ms;
	return later(silence->outstanding_ms, silence->heard_ms);
}

enum silence_verdict silence_judge(
	struct silence *silence, const struct side_policy *policy, const struct tcp_info *info, uint64_t now_ms)
{
	uint32_t questions;
	uint64_t dead_ms, next_ms = now_ms + look_every_ms(policy);
	/* When the last of it was acknowledged is not told: after this. Adopted, and nothing was outstanding: not known. */
	uint64_t progress_ms = silence->looked_ms ? later(silence->outstanding_ms, silence->looked_ms) : 0;

	note(silence, info, now_ms);
	if (info->tcpi_state == CLOSE) {
		silence->outstanding_ms = 0;
		return SILENCE_CLOSED;
	}
	if (!info->tcpi_unacked && !info->tcpi_notsent_bytes) {
		silence->outstanding_ms = 0;
		silence->progress_ms = progress_ms;
		silence->retransmits = info->tcpi_total_retrans;
		return SILENCE_OVER;
	}
	questions = info->tcpi_probes + (info->tcpi_total_retrans - silence->retransmits);
	if (policy->dead_after_ms) {
		dead_ms = later(silence->heard_ms + policy->dead_after_ms,
				  asked_ms(silence, policy, info) +
					  (uint64_t)policy->dead_after_ms * LIVENESS_ASKED_PERCENT / 100) +
			  TIMER_NOISE_MS;
		if (now_ms >= dead_ms && questions >= LIVENESS_ASKS)
			return SILENCE_DEAD;
		next_ms = earlier(next_ms, now_ms < dead_ms ? dead_ms : now_ms + policy->ask_gap_ms / LOOKS_IN_GAP);
	}
	if (policy->stall_after_ms) {
		uint64_t stalled_ms = silence->progress_ms + policy->stall_after_ms;
		/* One that has been silent all the while may be dead: that is another thing, and for dead_after to say. */
		bool lives = silence->heard_ms > silence->progress_ms + TIMER_NOISE_MS || !policy->dead_after_ms;

		if (now_ms >= stalled_ms && lives)
			return SILENCE_STALLED;
		next_ms = earlier(next_ms, now_ms < stalled_ms ? stalled_ms : now_ms + policy->stall_after_ms / LOOKS_IN_GAP);
	}
	silence->look_ms = next_ms;
	return SILENCE_WAITS;
}

enum silence_verdict silence_look(struct silence *silence, const struct side_policy *policy, int fd, bool pace, uint64_t now_ms)
{
	uint64_t looked_ms = silence->looked_ms;
	struct tcp_info info;
	enum silence_verdict verdict;

	if (books_info(fd, &info) < 0) { /* not TCP */
		silence->outstanding_ms = silence->progress_ms = 0;
		return SILENCE_OVER;
	}
	verdict = silence_judge(silence, policy, &info, now_ms);
	if (!pace)
		return verdict;
	if (verdict == SILENCE_OVER) {
		pace_end(&silence->pace, policy, fd);
	} else if (policy->ask_gap_ms) {
		const struct pace_times times = {silence->heard_ms, looked_ms, now_ms};

		silence->look_ms = earlier(silence->look_ms, pace_keep(&silence->pace, policy, fd, &info, &times));
	}
	return verdict;
}
