/* A process of a pair that lives: the holder, or the relay. Owner: the pair (its list), from member_spawn, member_claim or
 * member_take_up until it has ended, or members_forget. What of it the process itself, or the ledger, says is a claim, and
 * checked. */
#ifndef SUPERVISOR_MEMBER_H
#define SUPERVISOR_MEMBER_H
#include "supervisor/pair.h"
#include "supervisor/process.h"
#include "wire/message.h"

enum member_role { MEMBER_HOLDER, MEMBER_RELAY };
struct member {
	struct pair *pair;
	struct process *process;
	enum member_role role;
	uint64_t since_ns;
	bool killed;  /* was sent SIGKILL */
	bool leaving; /* its sessions are being handed over, or were: its end is no news */
	struct member *next;
};

/* Starts the pair's holder, once it stands in the estate. 0 or -errno. */
int member_spawn(struct pair *pair, const struct spawn *spawn);

/* "I am holder, or relay, of this pair." The pid is a claim, and so is the descriptor. */
void member_claim(struct pair *pair, struct message *message, enum member_role role);

/* Those that a predecessor knew. */
void member_take_up(struct pair *pair);

/* Someone holds the table and has not said who he is: a relay whose holder died, and which could not speak up since. Ended, if it
 * is whom the ledger names. */
void member_end_unknown(struct pair *pair);

struct member *member_newest_relay(const struct pair *pair); /* NULL: none is known */

struct member *member_find(const struct pair *pair, pid_t pid); /* NULL: none lives */

void member_kill(struct member *member);

/* All those that live now: a hand-over begins, or came to nothing. */
void members_leave(struct pair *pair, bool leaving);

/* Their sessions are others' now. What they still hold of the sockets would keep a close from reaching the peer. */
void members_end_leaving(struct pair *pair);

void members_forget(struct pair *pair);

#endif
