/* What a slot is held against before it is used. A relay of ours leaves nothing wrong in its ledger, but a write to wrong memory
 * may, and a number of another session's there would give that one's bytes away, close its sockets, or uncount it. So this
 * process keeps such numbers (struct session_own) besides the slot, and sets them together with it.
 *
 * A slot that cannot be right is made anew from them, and its session ends by itself, by the ordinary way (system.failed): others
 * do not notice. What else is wrong in a slot harms its own session at worst. */
#ifndef RELAY_OWN_H
#define RELAY_OWN_H
#include "relay/session.h"

/* As its slot has them: a session that begins, or was found right by verify_ledger. */
void own_take(struct session *session, const struct slot *slot);

static inline void own_set_fd(struct session *session, struct slot *slot, enum side s, int fd)
{
	slot->fd[s] = session->own.fd[s] = fd;
}

static inline void own_set_pipe(struct session *session, struct slot *slot, enum side from, int index)
{
	slot->pipe[from] = session->own.pipe[from] = index;
}

/* Before its slot is used, from the loop or from a message. False: its slot was damaged; it is made anew, and its session on the way
 * to its end. */
bool own_check(struct relay *relay, struct session *session);

/* The same of what could harm others, and no more: at each event, and so in memory that is about to be used anyway. */
bool own_check_numbers(struct relay *relay, struct session *session);

/* A part of the slots, now and then: to those that rest no event comes. */
void own_check_some(struct relay *relay);
void own_check_all(struct relay *relay);

#endif
