/* How a supervisor's successor comes to its tree: whoever lives goes on, and is watched, told and replaced as before. All of it
 * or none: leases are judged with every ledger in hand. What is not whole is not taken up; that tree ends by itself, in order,
 * and keeps the lock until then, so there are never two. */
#ifndef SUPERVISOR_SUCCESSION_H
#define SUPERVISOR_SUCCESSION_H

struct tree;

/* Writes the numbers of the estate, all of them; before a role runs, and whenever one of them has changed. */
void succession_note(struct tree *tree);

/* From what was found (estate_find). 1: the tree is taken up; 0: nothing was found; or -errno with `error` for people: it ends,
 * and its estate is gone. */
int succession_take_up(struct tree *tree, char error[512]);

#endif
