/* The exec of another supervisor in our place, and arriving from it (upgrade.h says when and why; passage.h what goes along).
 *
 * From crossing_arrive to crossing_arrived the former supervisor is at hand for anything that goes wrong: a fatal signal, or the
 * alarm clock, execs it. */
#ifndef SUPERVISOR_CROSSING_H
#define SUPERVISOR_CROSSING_H

struct tree;

/* First of all: the environment, for the way back, before something is taken out of it. */
void crossing_remember(void);

/* Becomes the supervisor that `upgrade` of the tree has as its other one. Returns only if that fails: -errno, and nothing has
 * changed. */
int crossing_go(struct tree *tree);

/* 1: we came over an exec, and what came along is found (upgrade.found); 0: we did not; or -errno. */
int crossing_arrive(struct tree *tree);

/* Why we shall not go on: a test wants it so. NULL: we shall. */
const char *crossing_fault(void);

/* We are up. */
void crossing_arrived(struct tree *tree);

/* Becomes the former supervisor after all. Returns only if we have not come from one, or cannot. */
void crossing_return(const char *why);

#endif
