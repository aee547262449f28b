/* One hand-over of a pair, as the supervisor sees it (what goes on between the processes: relay/hand_over.h): it starts the heir,
 * a holder of the program that is wanted, asks the relay to give, and looks at what the ledger says came of it. Nothing in it
 * waits for the supervisor. Part of a pair, by which it is started; it ends with on_handed_over of the tree. */
#ifndef SUPERVISOR_HAND_OVER_H
#define SUPERVISOR_HAND_OVER_H
#include "supervisor/program.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pair;

enum hand_over_end {
	HANDED_OVER,
	HAND_OVER_CAME_TO_NOTHING, /* the heir has died, or all have, and the pair begins anew */
	HAND_OVER_FAILED,          /* the heir cannot do it */
};

struct hand_over {
	bool under_way;
	pid_t heir;
	uint32_t from, to;    /* numbers of the sets that the programs are of */
	uint32_t number;      /* in the ledger; 0: there was none yet */
	uint64_t deadline_ns; /* until then the heir's relay has taken over */
	bool late;            /* it has not */
};

/* 0: under way; or -errno. */
int hand_over_start(struct pair *pair, const struct program_set *to, const struct program_set *former);

/* As a predecessor left it: the heir of one more may be under way, and nobody here knows of it. */
void hand_over_take_up(struct pair *pair);

/* Something may have changed: a process ended or introduced itself, or time went by. */
void hand_over_check(struct pair *pair, uint64_t now_ns);

#endif
