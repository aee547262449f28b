/* Another version takes the place of this one, without a session noticing: each pair is handed over to it, one by one. If one of
 * them does not come up, all go back. One at a time; part of the tree. */
#ifndef SUPERVISOR_UPGRADE_H
#define SUPERVISOR_UPGRADE_H
#include "supervisor/program.h"

#include <stdbool.h>

struct tree;

struct upgrade {
	bool under_way;
	bool back;             /* to the version before */
	struct program former; /* the holder's program before; while back: the one that did not come up */
};

/* SIGUSR2: the programs at the paths of ours. */
void upgrade_start(struct upgrade *upgrade, struct tree *tree);

/* A few times a second: goes on. */
void upgrade_check(struct upgrade *upgrade, struct tree *tree);

void upgrade_on_handed_over(struct upgrade *upgrade, struct tree *tree, bool done);

#endif
