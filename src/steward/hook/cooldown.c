#include "steward/hook/cooldown.h"

static bool is_cold(const struct cooldown *cooldown, uint32_t period_ms)
{
	return period_ms && cooldown->failures >= COOLDOWN_AFTER;
}

bool cooldown_is_cold(const struct cooldown *cooldown, uint32_t period_ms, uint64_t now_ms)
{
	return is_cold(cooldown, period_ms) && (cooldown->tried || now_ms < cooldown->until_ms);
}

bool cooldown_try(struct cooldown *cooldown, uint32_t period_ms)
{
	if (!is_cold(cooldown, period_ms))
		return false;
	cooldown->tried = true;
	return true;
}

void cooldown_untried(struct cooldown *cooldown)
{
	cooldown->tried = false;
}

static void wait_longer(struct cooldown *cooldown, uint32_t period_ms, uint64_t now_ms)
{
	uint32_t most_ms = period_ms > COOLDOWN_MOST_MS ? period_ms : COOLDOWN_MOST_MS;

	cooldown->wait_ms = cooldown->wait_ms > most_ms / 2 ? most_ms : 2 * cooldown->wait_ms;
	cooldown->until_ms = now_ms + cooldown->wait_ms;
}

enum cooldown_change cooldown_note(struct cooldown *cooldown, uint32_t period_ms, uint64_t now_ms, bool failed, bool was_try)
{
	bool cold = is_cold(cooldown, period_ms);

	if (was_try)
		cooldown->tried = false;
	if (!failed) {
		cooldown->failures = 0;
		return cold ? COOLDOWN_OVER : COOLDOWN_SAME;
	}
	if (cold) {
		/* Of those that ran already when it became so, each failure is the same news. */
		if (was_try)
			wait_longer(cooldown, period_ms, now_ms);
		return COOLDOWN_SAME;
	}
	if (cooldown->failures < COOLDOWN_AFTER)
		cooldown->failures++;
	if (!is_cold(cooldown, period_ms))
		return COOLDOWN_SAME;
	cooldown->wait_ms = period_ms;
	cooldown->until_ms = now_ms + period_ms;
	cooldown->refused = 0;
	return COOLDOWN_BEGUN;
}
