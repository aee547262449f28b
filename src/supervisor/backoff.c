#include "supervisor/backoff.h"

void backoff_ready(struct backoff *backoff)
{
	backoff->failures = 0;
}

uint32_t backoff_died(struct backoff *backoff, int was_ready)
{
	uint32_t wait_ms = BACKOFF_FIRST_MS;

	if (was_ready) {
		backoff->failures = 0;
		return 0;
	}
	for (uint32_t i = 0; i < backoff->failures && wait_ms < BACKOFF_MAX_MS; i++)
		wait_ms *= 2;
	if (backoff->failures < UINT32_MAX)
		backoff->failures++;
	return wait_ms < BACKOFF_MAX_MS ? wait_ms : BACKOFF_MAX_MS;
}
