/* The life of a lease as a table: life_table.h made into enums, words, and the question whether a move is one. No state of its
 * own. */
#ifndef STEWARD_LEASE_LIFE_H
#define STEWARD_LEASE_LIFE_H
#include <stdbool.h>

enum lease_state {
#define LIFE_STATE(STATE, word, EFFECT, meaning) LEASE_##STATE,
#include "steward/lease/life_table.h"
	LEASE_STATES
};

enum lease_event {
#define LIFE_EVENT(EVENT, meaning) LEASE_EVENT_##EVENT,
#include "steward/lease/life_table.h"
	LEASE_EVENTS
};

/* What may happen once a state is on disk, and not before. */
enum lease_effect {
	LEASE_EFFECT_NOTHING,
	LEASE_EFFECT_ACQUIRE_RUNS,
	LEASE_EFFECT_SESSION_GOES_ON,
	LEASE_EFFECT_RELEASE_RUNS,
	LEASE_EFFECT_FORGOTTEN,
};

/* Where that event leads from that state; LEASE_STATES: it must not happen there. */
enum lease_state life_next(enum lease_state from, enum lease_event event);
bool life_permits(enum lease_state state, enum lease_effect effect);

const char *life_state_word(enum lease_state state);
enum lease_state life_state_of(const char *word); /* LEASE_STATES: there is none */
const char *life_event_word(enum lease_event event);

#endif
