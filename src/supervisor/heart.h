/* The pulse of a role (wire/inherit.h) as the supervisor sees it: made by us, stamped by the role. Member of whoever watches it.
 */
#ifndef SUPERVISOR_HEART_H
#define SUPERVISOR_HEART_H
#include "wire/inherit.h"

struct heart {
	int fd;              /* -1: none */
	struct pulse *pulse; /* NULL: none */
};

void heart_init(struct heart *heart);
int heart_make(struct heart *heart);         /* 0 or -errno; to be ended by heart_fini in any case */
int heart_take(struct heart *heart, int fd); /* one that a predecessor made, and the descriptor, -1: there is none. The same */
void heart_fini(struct heart *heart);

#endif
