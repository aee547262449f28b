/* tcpwarden --end-tree: what the unit runs when the service is stopped and its supervisor did not end the tree itself, since it had
 * died. Whoever of the tree still runs in our cgroup is ended in order: sessions by ordered resets, then every release. */
#ifndef SUPERVISOR_END_TREE_H
#define SUPERVISOR_END_TREE_H

/* The exit status: 0: nobody is left. */
int end_tree(void);

#endif
