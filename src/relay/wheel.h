/* Deadlines of sessions: a hashed wheel of 10 ms ticks. Adding, moving and removing cost nothing to speak of; a deadline that is
 * further off than one turn waits in its bucket for the turns that it needs. The wheel owns nothing. */
#ifndef RELAY_WHEEL_H
#define RELAY_WHEEL_H
#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_TICK_MS = 10, WHEEL_BUCKETS = 1024 };

struct wheel_entry {
	struct wheel_entry *next, **link; /* link: what points at us; NULL: not on the wheel */
	uint64_t due_ms;                  /* CLOCK_MONOTONIC */
};

struct wheel {
	struct wheel_entry *bucket[WHEEL_BUCKETS];
	uint64_t turned_ms; /* all due up to here has been called */
	uint32_t count;
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Puts it on the wheel, or moves it. */
void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms);
void wheel_remove(struct wheel *wheel, struct wheel_entry *entry);

/* Takes off each entry that is due and calls on_due, which may set and remove any entry. */
void wheel_turn(struct wheel *wheel, uint64_t now_ms, void (*on_due)(void *context, struct wheel_entry *entry), void *context);

/* Milliseconds until something can be due, at most one turn; -1: the wheel is empty. */
int wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms);

#endif
