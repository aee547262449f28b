/* tcpwarden --end-tree: what the unit runs when the service is stopped and its supervisor did not end the tree itself, since it had
 * died. Whoever of the tree still runs in our cgroup is ended in order: sessions by ordered resets, then every release, by the tree's
 * steward, or if that is dead, too, by one that is started for that. */
#ifndef SUPERVISOR_END_TREE_H
#define SUPERVISOR_END_TREE_H

struct tree;

/* The exit status: 0: nobody is left. The rest is as of tree_run. */
int end_tree(struct tree *tree, const char *self, const char *config);

#endif
