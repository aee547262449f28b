/* SLOT_CLOSING: each side is let go in the way that ending.h decided. What was received before is still delivered, all of it within
 * linger_timeout. Nothing here ever blocks. */
#ifndef RELAY_CLOSING_H
#define RELAY_CLOSING_H
#include "relay/session.h"

/* Does what can be done now. */
void closing_run(struct relay *relay, struct session *session);

#endif
