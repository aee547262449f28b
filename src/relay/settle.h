/* What a death left half-done with the bytes of a session, put right by the kernel's books. */
#ifndef RELAY_SETTLE_H
#define RELAY_SETTLE_H
#include "relay/session.h"

/* Both directions of a session that relays or closes. Drops from each source what its target was already given, by the books, and
 * notes in session->events where nothing waits. 0; -EIO: a target was given less than was taken from its source, which must never
 * be. */
int settle_session(struct relay *relay, struct session *session);

#endif
