/* A hook that keeps failing is left alone for a while, then tried gently.
 *
 *   well ─ COOLDOWN_AFTER failures in a row ─► cold ─ the time has passed, someone comes ─► tried, by one at a time
 *    ▲                                          ▲└────── it failed: twice as long ───────────┘   │
 *    └──────────────────────────────────────────┼──────── it works ──────────────────────────────┘
 *
 * A plain value, all zero at first; nothing to end. */
#ifndef STEWARD_HOOK_COOLDOWN_H
#define STEWARD_HOOK_COOLDOWN_H
#include <stdbool.h>
#include <stdint.h>

enum {
	COOLDOWN_AFTER = 5, /* failures in a row */
	COOLDOWN_MOST_MS = 5 * 60 * 1000,
};

struct cooldown {
	uint32_t failures; /* in a row, counted up to COOLDOWN_AFTER: then it is cold */
	uint32_t wait_ms;
	uint64_t until_ms;
	uint64_t refused; /* since it is cold */
	bool tried;       /* by someone who has not said yet how it went */
};

enum cooldown_change {
	COOLDOWN_SAME,
	COOLDOWN_BEGUN,
	COOLDOWN_OVER,
};

/* Whether it is to be left alone now. period_ms: its setting; 0: never. */
bool cooldown_is_cold(const struct cooldown *cooldown, uint32_t period_ms, uint64_t now_ms);

/* The hook is about to run. True: this is the one that tries it, of which cooldown_note or cooldown_untried is to be told. */
bool cooldown_try(struct cooldown *cooldown, uint32_t period_ms);
void cooldown_untried(struct cooldown *cooldown); /* it did not come to run */

/* How it went: failed, or did its work (a refusal is work, too). was_try: what cooldown_try said. */
enum cooldown_change cooldown_note(struct cooldown *cooldown, uint32_t period_ms, uint64_t now_ms, bool failed, bool was_try);

#endif
