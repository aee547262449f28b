/* Reaching a backend: which one, over which address, and the next one if that fails. Each address of each backend is tried at most once
 * a session, beginning with the one that `balance` chose, within connect_timeout each and 1 + connect_retries tries in all. */
#ifndef RELAY_CONNECT_H
#define RELAY_CONNECT_H
#include "relay/session.h"

/* SLOT_CONNECTING without a socket: takes the first candidate. */
void connect_start(struct relay *relay, struct session *session);

/* SLOT_CONNECTING: is it connected, refused, or too late? */
void connect_check(struct relay *relay, struct session *session);

/* SLOT_CONNECTING, at adoption: the round goes on where it was, unless the plan has changed since. */
void connect_adopt(struct relay *relay, struct session *session);

#endif
