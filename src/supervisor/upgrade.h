/* Another version takes the place of this one, and no session notices.
 *
 *   NONE ── SIGUSR2, UPGRADE ──► ASKING ── all can ──► CROSSING ══ exec ══► STEWARD ── it is READY ──► PAIRS ── all handed over
 * ──► NONE │ one cannot             │                   │ it does not come up     │ one does not come up ▼ │ exec fails        ▼
 * ▼ NONE                    NONE       CROSSING, to the former supervisor, and the same way back
 *
 * Asked is each new program whether it can read what the old one leaves, and the new steward what it makes of the accepted
 * config. Over the exec goes what passage.h lists. Who arrives starts the steward again from its own program, as after its death,
 * and has the pairs handed over one by one (hand_over.h). The way back is the way there, with the former programs, which stay
 * open until the end; it is tried until it is done. Should the new supervisor not even get so far, by a crash, by a failure or by
 * taking longer than upgrade_timeout, it execs the former one. A supervisor's successor, which is of the version that is
 * installed, goes on where it was (resume.h). Member of the tree. */
#ifndef SUPERVISOR_UPGRADE_H
#define SUPERVISOR_UPGRADE_H
#include "supervisor/ask.h"
#include "supervisor/hand_over.h"
#include "supervisor/passage.h"
#include "supervisor/program.h"
#include "wire/message.h"
#include "wire/versions.h"

#include <stdbool.h>
#include <stdint.h>

struct tree;

enum upgrade_phase { UPGRADE_NONE, UPGRADE_ASKING, UPGRADE_CROSSING, UPGRADE_STEWARD, UPGRADE_PAIRS };

struct upgrade {
	enum upgrade_phase phase;
	bool back;                    /* to the former version; `state.text` says why */
	bool across;                  /* we are of the version that is to serve */
	uint32_t served;              /* number of the set that all served with, before this upgrade if one is under way */
	struct program_set other;     /* to be taken; since the crossing: the one that we came from */
	struct message_upgrade state; /* what the steward is told, and when it was changed last: */
	uint32_t changes;
	struct passage *found; /* on arrival, until everything is taken from it; NULL else */
	int found_fd;
	struct ask ask;
	int question;
	char list[VERSIONS_TEXT_SIZE]; /* what the old program said */
	uint64_t deadline_ms;          /* STEWARD: until then it is ready */
	uint32_t deaths;               /* PAIRS: of heirs that came to nothing */
};

void upgrade_init(struct upgrade *upgrade);

/* SIGUSR2, or the steward was asked to. */
void upgrade_start(struct upgrade *upgrade, struct tree *tree);

/* Between turns of the loop, and so a few times a second: goes on. */
void upgrade_check(struct upgrade *upgrade, struct tree *tree);

void upgrade_on_handed_over(struct upgrade *upgrade, struct tree *tree, enum hand_over_end end);

/* What is started now is of this set. */
const struct program_set *upgrade_programs(const struct tree *tree);

/* For who finds one that is under way, across: asks first, or has the steward and the pairs follow at once. */
void upgrade_ask(struct tree *tree);
void upgrade_follow(struct tree *tree);

/* First of all: takes what came over an exec, if we did. 0 or an exit status. */
int upgrade_arrive(struct tree *tree, char error[512]);

/* The tree is taken up; or `error` says why not: then the former version has it, if we came from one. */
void upgrade_on_begun(struct upgrade *upgrade, struct tree *tree, const char *error);

#endif
