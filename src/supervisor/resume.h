/* The programs that a supervisor finds in use when it takes up a tree, and what it does about those that are not its own: it was
 * started from what is installed, which need not be what serves.
 *
 *   an upgrade was under way, to whatever is installed   it is finished, once the programs have been asked again
 *   an upgrade was under way, and what is installed      all go back to what is installed, and served before
 *     is what served before
 *   an upgrade was going back, or none was under way     the supervisor becomes the one that serves: installing another version
 *                                                        changes nothing in what runs, nor does a death
 *
 * A set that is not whole in the estate is not known: then all count as of ours, as if nobody had ever upgraded. */
#ifndef SUPERVISOR_RESUME_H
#define SUPERVISOR_RESUME_H

struct tree;

/* Once the numbers of the estate are read, before anything is started. */
void resume_programs(struct tree *tree);

#endif
