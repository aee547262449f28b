/* A holder and its relay, as the supervisor sees them: their ledger, their channels, and the processes that live.
 *
 * The descriptor table that both share is what matters. It lives exactly as long as someone has the other end of `channel` open,
 * which only they have: end of file there is the kernel's word that the table, and every session in it, is gone. Then the pair is
 * lost and begins anew: next incarnation, new ledger, new channels. Whatever dies before that is replaced by the pair itself.
 * Owned by the tree, never gone before it. */
#ifndef SUPERVISOR_PAIR_H
#define SUPERVISOR_PAIR_H
#include "supervisor/backoff.h"
#include "supervisor/hand_over.h"
#include "wire/ledger.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct tree;
struct watch;
struct member;

struct pair {
	struct tree *tree;
	uint32_t index, incarnation; /* incarnation: from 1 */
	int ledger_fd;               /* -1: could not be made yet */
	int ledger_reader_fd;        /* the same, read-only */
	struct ledger ledger;        /* mapped read-only */
	struct watch *channel;       /* our end; NULL: no holder was started on this incarnation yet */
	int steward_channel[2];      /* [0] the steward's end, [1] the holder's: we keep both, so that no death closes it */
	struct member *members;      /* processes known to live, newest first */
	bool started;                /* a holder was started on this incarnation */
	bool introduction_owed;      /* its relay could not be told yet who the supervisor is now */
	bool table_gone;             /* end of file on the channel */
	uint64_t unknown_since_ns;   /* 0, or since when someone holds the table and no member is known */
	uint32_t program; /* number of the set that holder and relay are of; 0: of one of two, a hand-over is under way */
	struct hand_over hand_over;
	uint64_t woken_ns; /* when its holder was last told to go on, 0: never */
	struct backoff backoff;
	uv_timer_t retry;
	uint32_t told;     /* incarnation that the present steward was told of, 0: none */
	bool retiring;     /* it was told to retire, and perhaps to stay after all */
	pid_t retire_told; /* the relay that knows that it retires, 0: none does */
	uint64_t bridge_said_ms; /* when it was last told of a bridge, or whom to give to; 0: never */
};

int pair_init(struct pair *pair, struct tree *tree, uint32_t index);

/* As a predecessor left it. 0, or -errno: a piece is missing or cannot be right, and someone may live on it. */
int pair_take_up(struct pair *pair);

/* Tells its relay who the supervisor is now; it answers by saying who it is. */
void pair_introduce_tree(struct pair *pair);

/* Makes ledger and channels if there are none, and starts a holder. Never fails: what does not work is tried again. */
void pair_start(struct pair *pair);

/* A few times a second: kills a relay that hangs. */
void pair_check(struct pair *pair, uint64_t now_ns, uint64_t grace_ns);

/* It is one too many (workers.h), or is not any more: tells its relay, and drops what no holder was started on. Said again and
 * again, it does what is still to be done. */
void pair_retire(struct pair *pair, bool retires);

/* The steward asks: this relay said what it may not. */
void pair_replace_relay(struct pair *pair, uint32_t incarnation);

/* SIGTERM goes to the holder, which ends its relay; SIGKILL to all, and to whoever makes himself known later. */
void pair_signal(struct pair *pair, int signal);

/* A few times a second once all were sent SIGKILL: a relay that its holder cloned just before is nobody's yet, and would take the
 * holder's place, and keep the lock. It is killed, too. */
void pair_end_unknown(struct pair *pair);

/* No process of it lives. */
bool pair_gone(const struct pair *pair);

/* member.c: one of its processes has ended. */
void pair_on_member_gone(struct pair *pair);

void pair_fini(struct pair *pair);

#endif
