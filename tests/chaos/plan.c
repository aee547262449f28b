#include "plan.h"

#include "../load/pattern.h"

enum {
	TOTAL_MAX = 4 << 20,
	MESSAGES_MAX = 500, /* of one side, about */
	PAUSED_READS_MAX = 200,
	SMALL_WINDOWS_MAX = 32,
	SETTLED_MS = 500,
	VANISHED_MS = 9000, /* longer than it takes anyone to find out */
	OF_TOTAL = 0,       /* where the draws begin */
	OF_ALL_ELSE = 64,
};

struct dice {
	const struct run *run;
	uint64_t id, side, n;
};

uint64_t plan_draw(const struct run *run, uint64_t id, enum side side, uint64_t n)
{
	return mix64(mix64(run->seed * 0x9e3779b97f4a7c15u + id) + (uint64_t)side * 0x632be59bd9b4e019u + n);
}

static uint64_t roll(struct dice *d, uint64_t sides)
{
	return plan_draw(d->run, d->id, (enum side)d->side, d->n++) % sides;
}

static bool chance(struct dice *d, unsigned percent)
{
	return roll(d, 100) < percent;
}

/* Spread evenly over magnitudes, so that small ones are not rare. */
static uint64_t spread(struct dice *d, uint64_t low, uint64_t high)
{
	uint64_t octaves = 0, from;

	while (low << (octaves + 1) <= high)
		octaves++;
	from = low << roll(d, octaves + 1);
	return from + roll(d, from * 2 <= high ? from : high - from + 1);
}

static uint64_t total_of(const struct run *run, uint64_t id, enum side side)
{
	struct dice d = {run, id, side, OF_TOTAL};

	return chance(&d, 4) ? 0 : spread(&d, 1, TOTAL_MAX);
}

static enum plan_end end_of(struct dice *d)
{
	/* What both sides must agree on is drawn from dice of the session's own. */
	struct dice both = {d->run, d->id, BACKEND + 1, OF_ALL_ELSE};
	uint64_t who = roll(&both, 100), waits = roll(&both, 3);
	bool orderly = who < 45 || (who < 90 && who % 2 == d->side);

	if (!orderly && d->run->vanishes && chance(d, 50))
		return END_VANISH;
	if (!orderly)
		return (enum plan_end)(END_LATE + 1 + roll(d, END_VANISH - END_LATE - 1));
	/* At most one of them waits for the other. */
	return waits == d->side ? END_LATE : END_FIN;
}

void plan_make(struct plan *ret, const struct run *run, uint64_t id, enum side side)
{
	struct dice d = {run, id, side, OF_ALL_ELSE};
	uint64_t theirs = total_of(run, id, side == CLIENT ? BACKEND : CLIENT);
	struct plan p = {.end = end_of(&d), .total = total_of(run, id, side), .pauses_ms = 2000};

	p.cut = roll(&d, (p.end == END_RESET_SENT || p.end == END_CLOSE ? p.total : theirs) + 1);
	p.delay_ms = (uint32_t)(chance(&d, 50) ? 0 : roll(&d, 300));
	if (p.end == END_RESET_FROZEN)
		p.delay_ms += 500 + (uint32_t)roll(&d, 1500);
	p.patience_ms = 1000 + (uint32_t)roll(&d, 3000);
	p.settle_ms = p.end == END_VANISH ? VANISHED_MS : chance(&d, 50) ? 0 : SETTLED_MS;
	p.holds = chance(&d, 50);
	p.message_max = (uint32_t)spread(&d, 16, 256 << 10);
	if (p.message_max < p.total / MESSAGES_MAX)
		p.message_max = (uint32_t)(p.total / MESSAGES_MAX);
	p.pause_max_ms = (uint32_t)(chance(&d, 50) ? 0 : spread(&d, 1, 200));
	p.read_max = (uint32_t)spread(&d, 1 << 10, 256 << 10);
	p.read_pause_max_ms = (uint32_t)(chance(&d, 65) ? 0 : spread(&d, 1, 200));
	if (p.read_pause_max_ms && p.read_max < theirs / PAUSED_READS_MAX)
		p.read_max = (uint32_t)(theirs / PAUSED_READS_MAX);
	if (chance(&d, 12)) {
		p.freeze_at = roll(&d, theirs + 1);
		p.freeze_ms = 500 + (uint32_t)roll(&d, 2500);
	}
	p.urgent_one_in = (uint32_t)(chance(&d, 85) ? 0 : 1 + roll(&d, 8));
	p.send_buffer = (int)(chance(&d, 75) ? 0 : spread(&d, 4 << 10, 64 << 10));
	p.receive_buffer = (int)(chance(&d, 70) ? 0 : spread(&d, 4 << 10, 64 << 10));
	/* Loopback's segments are of 64 KB. Into a much smaller window they go at a few probes a second. */
	if (p.receive_buffer && (uint64_t)p.receive_buffer < theirs / SMALL_WINDOWS_MAX)
		p.receive_buffer = (int)(theirs / SMALL_WINDOWS_MAX);
	p.nodelay = chance(&d, 50);
	*ret = p;
}

bool plan_is_orderly(enum plan_end end)
{
	return end == END_FIN || end == END_LATE;
}

const char *plan_end_word(enum plan_end end)
{
	static const char *const words[] = {
#define P(NAME, word, what) word,
		ENDS(P)
#undef P
	};

	return words[end];
}
