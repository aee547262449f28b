/* What is to become of a session once its end is known: in which way each side is let go (enum side_ending). From here it is in
 * SLOT_CLOSING, which closing.h carries out. */
#ifndef RELAY_ENDING_H
#define RELAY_ENDING_H
#include "relay/session.h"

/* It ends for that reason (NULL: the one noted already), and both sides are let go so. */
void ending_begin(struct relay *relay, struct session *session, const struct reason *reason, enum side_ending how);

/* A peer failed: reset, dead, unreachable. The other side gets what that peer had sent, then what on_failure says. */
void ending_peer_failed(struct relay *relay, struct session *session, enum side failed, enum operation operation, int error);

/* All that this side ever said was given on, and its end was in order. */
void ending_source_is_whole(struct slot *slot, enum side from);

/* A client over a limit is told, and its input is dropped for a while, so that no reset destroys what it is told. */
void ending_refuse(struct relay *relay, struct session *session);

/* Resets whatever is still open. */
void ending_now(struct relay *relay, struct session *session);

#endif
