#include "relay/question.h"

#include "relay/books.h"

#include <linux/tcp.h>

enum { CLOSE = 7 }; /* include/net/tcp_states.h */
enum {
	PROBE_LEAST_MS = 1000, /* TCP_KEEPIDLE is in seconds: no probe goes out sooner after a sign of life */
	RTO_MIN_MS = 200,      /* include/net/tcp.h TCP_RTO_MIN, TCP_TIMEOUT_INIT */
	RTO_UNKNOWN_MS = 1000,
	RTO_TIMES = 8,
	TIMER_NOISE_MS = 20, /* tcpi_last_ack_recv is in ticks of the kernel's clock: two readings of one moment differ */
};

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* How long the kernel waits before it sends something again for the first time: tcpi_rto is what that has grown to.
 * net/ipv4/tcp_input.c tcp_set_rto. */
static uint64_t rto_ms(const struct tcp_info *info)
{
	uint64_t spread_ms = 4ull * info->tcpi_rttvar / 1000;

	if (!info->tcpi_rtt)
		return RTO_UNKNOWN_MS;
	return info->tcpi_rtt / 1000 + later(spread_ms, RTO_MIN_MS);
}

static void begin(
	struct question *q, const struct silence *silence, const struct tcp_info *info, uint64_t heard_ms, uint64_t now_ms)
{
	q->heard_ms = heard_ms;
	q->since_ms = q->silent_ms < PROBE_LEAST_MS ? heard_ms : now_ms;
	/* Silence has counted them since its last look, if nothing has come after that. Else the kernel has, since the last new
	 * acknowledgement; that was the last word, unless we have sent nothing since. */
	if (silence->outstanding_ms && silence->looked_ms && heard_ms <= silence->heard_ms + TIMER_NOISE_MS)
		q->retransmits = silence->retransmits;
	else
		q->retransmits =
			info->tcpi_total_retrans - (info->tcpi_last_data_sent < q->silent_ms ? info->tcpi_retransmits : 0);
}

enum question_verdict question_judge(
	struct question *q, const struct silence *silence, uint32_t timeout_ms, const struct tcp_info *info, uint64_t now_ms)
{
	uint64_t heard_ms;

	/* A segment that acknowledges nothing new moves only last_data_recv. */
	q->silent_ms =
		info->tcpi_last_ack_recv < info->tcpi_last_data_recv ? info->tcpi_last_ack_recv : info->tcpi_last_data_recv;
	q->outstanding = info->tcpi_unacked || info->tcpi_notsent_bytes;
	heard_ms = now_ms - (q->silent_ms < now_ms ? q->silent_ms : now_ms);
	if (!q->since_ms)
		begin(q, silence, info, heard_ms, now_ms);
	q->asks = info->tcpi_probes;
	if (q->outstanding) /* the first sending was one, too */
		q->asks += 1 + info->tcpi_total_retrans - q->retransmits;
	if (info->tcpi_state == CLOSE)
		return QUESTION_CLOSED;
	if (heard_ms > q->heard_ms + TIMER_NOISE_MS)
		return QUESTION_ALIVE;
	q->due_ms = q->since_ms + TIMER_NOISE_MS + later(timeout_ms, RTO_TIMES * rto_ms(info));
	return q->asks >= QUESTION_ASKS && now_ms >= q->due_ms ? QUESTION_SILENT : QUESTION_OPEN;
}

enum question_verdict question_look(
	struct question *q, const struct silence *silence, uint32_t timeout_ms, int fd, uint64_t now_ms)
{
	struct tcp_info info;

	if (books_info(fd, &info) < 0)
		return QUESTION_ALIVE;
	return question_judge(q, silence, timeout_ms, &info, now_ms);
}
