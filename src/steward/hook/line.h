/* The line in which hooks of one service and kind wait for their turn: at most `concurrency` run at a time.
 * A turn is a member of what waits. Owner: struct leases; nothing to end but that no turn may be in it any more. */
#ifndef STEWARD_HOOK_LINE_H
#define STEWARD_HOOK_LINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOOK_LINE_UNBOUNDED = UINT32_MAX };

struct hook_line;

struct hook_turn {
	void (*on_turn)(struct hook_turn *turn); /* from hook_line_leave of another, or from hook_line_limit */
	struct hook_line *line;                  /* NULL: in none */
	bool running;
	struct hook_turn *next, *previous;
};

struct hook_line {
	uint32_t concurrency; /* at least 1 */
	uint32_t running, waiting;
	bool admitting;
	struct hook_turn *first, *last;
};

/* 1: it is your turn now; 0: on_turn will come; -EDQUOT: `queue` others wait already. */
int hook_line_join(struct hook_line *line, struct hook_turn *turn, uint32_t queue);

/* Done, or does not want to any more. Harmless if in none. */
void hook_line_leave(struct hook_turn *turn);

void hook_line_limit(struct hook_line *line, uint32_t concurrency);

#endif
