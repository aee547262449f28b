/* What a relaying session may be ended for by the clock: a peer that is dead or stalled (silence.h), idle_timeout,
 * half_close_timeout, lifetime, and that its service or backend is out of use. One entry on the wheel for all of it; a session with nothing outstanding costs no system call
 * here. */
#ifndef RELAY_DEADLINE_H
#define RELAY_DEADLINE_H
#include "relay/session.h"

/* Bytes or a FIN were given to that side. */
void deadline_given(struct relay *relay, struct session *session, enum side to);

/* SLOT_RELAYING: ends the session if something is due, else sets its next look. False: it was ended. */
bool deadline_look(struct relay *relay, struct session *session);

/* A predecessor's session: what was outstanding then still is. */
void deadline_adopt(struct relay *relay, struct session *session);

/* It is about to have another policy: nothing that follows from the present one stays on its sockets. */
void deadline_rest(struct relay *relay, struct session *session);

/* SLOT_RELAYING: it has another policy than the old one. False: by that it was to end, and is ended. */
bool deadline_renew(struct relay *relay, struct session *session, const struct policy *old);

/* Asks about one side now. False: it is dead or stalled, and the session, relaying or closing, is being ended for that; operation: what
 * waits for this peer. */
bool deadline_peer_is_well(struct relay *relay, struct session *session, enum side s, enum operation operation);

#endif
