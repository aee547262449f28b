#include "steward/lease/life.h"

#include <stddef.h>
#include <string.h>

static const char *const state_words[LEASE_STATES] = {
#define LIFE_STATE(STATE, word, EFFECT, meaning) [LEASE_##STATE] = word,
#include "steward/lease/life_table.h"
};

static const enum lease_effect effects[LEASE_STATES] = {
#define LIFE_STATE(STATE, word, EFFECT, meaning) [LEASE_##STATE] = LEASE_EFFECT_##EFFECT,
#include "steward/lease/life_table.h"
};

static const char *const event_words[LEASE_EVENTS] = {
#define LIFE_EVENT(EVENT, meaning) [LEASE_EVENT_##EVENT] = #EVENT,
#include "steward/lease/life_table.h"
};

static const struct {
	enum lease_state from;
	enum lease_event event;
	enum lease_state to;
} moves[] = {
#define LIFE_MOVE(FROM, EVENT, TO) {LEASE_##FROM, LEASE_EVENT_##EVENT, LEASE_##TO},
#include "steward/lease/life_table.h"
};

enum lease_state life_next(enum lease_state from, enum lease_event event)
{
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
		if (moves[i].from == from && moves[i].event == event)
			return moves[i].to;
	return LEASE_STATES;
}

bool life_permits(enum lease_state state, enum lease_effect effect)
{
	return effects[state] == effect;
}

const char *life_state_word(enum lease_state state)
{
	return state_words[state];
}

enum lease_state life_state_of(const char *word)
{
	enum lease_state state = 0;
	while (state < LEASE_STATES && strcmp(word, state_words[state]))
		state++;
	return state;
}

const char *life_event_word(enum lease_event event)
{
	return event_words[event];
}
