#include "steward/hook/line.h"

#include <errno.h>

static void remove_waiting(struct hook_line *line, struct hook_turn *turn)
{
	*(turn->previous ? &turn->previous->next : &line->first) = turn->next;
	*(turn->next ? &turn->next->previous : &line->last) = turn->previous;
	turn->next = turn->previous = NULL;
	line->waiting--;
}

/* A turn that cannot use its chance leaves at once, within on_turn: the loop here, not recursion, goes on to the next. */
static void admit(struct hook_line *line)
{
	if (line->admitting)
		return;
	line->admitting = true;
	while (line->first && line->running < line->concurrency) {
		struct hook_turn *turn = line->first;
		remove_waiting(line, turn);
		line->running++;
		turn->running = true;
		turn->on_turn(turn);
	}
	line->admitting = false;
}

int hook_line_join(struct hook_line *line, struct hook_turn *turn, uint32_t queue)
{
	if (line->running < line->concurrency && !line->first) {
		turn->line = line;
		turn->running = true;
		line->running++;
		return 1;
	}
	if (line->waiting >= queue)
		return -EDQUOT;
	turn->line = line;
	turn->running = false;
	turn->previous = line->last;
	turn->next = NULL;
	*(line->last ? &line->last->next : &line->first) = turn;
	line->last = turn;
	line->waiting++;
	return 0;
}

void hook_line_leave(struct hook_turn *turn)
{
	struct hook_line *line = turn->line;
	if (!line)
		return;
	turn->line = NULL;
	if (turn->running)
		line->running--;
	else
		remove_waiting(line, turn);
	turn->running = false;
	admit(line);
}

void hook_line_limit(struct hook_line *line, uint32_t concurrency)
{
	line->concurrency = concurrency ? concurrency : 1;
	admit(line);
}
