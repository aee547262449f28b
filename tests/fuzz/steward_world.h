/* A roster with one pair, whose ledger is an overlay and whose channel we hold, and a host that notes what comes through. */
#ifndef TESTS_FUZZ_STEWARD_WORLD_H
#define TESTS_FUZZ_STEWARD_WORLD_H
#include "overlay.h"

#include "steward/control/control.h"
#include "steward/roster/roster.h"

struct steward_world {
	uv_loop_t loop;
	struct roster roster;
	struct listeners *listeners;
	struct control *control; /* NULL: none */
	struct overlay *overlay;
	int relay; /* its end of the channel */
	struct session_record acquired;
	unsigned acquires, ends, violations;
	bool closed;
};

/* The overlay, whole: sessions without descriptors, in all states, and some events. Once. */
struct overlay *steward_world_overlay(void);

void steward_world_open(struct steward_world *world, struct overlay *overlay, bool controlled);
void steward_world_close(struct steward_world *world);

/* Some turns of the loop, which never wait. */
void steward_world_turn(struct steward_world *world);

#endif
