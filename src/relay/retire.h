/* The end of a relay whose pair is one too many: it serves what it has, and ends once nothing is left to it. Its holder ends with
 * it, and so does their descriptor table. The supervisor says so to each relay of the pair anew. */
#ifndef RELAY_RETIRE_H
#define RELAY_RETIRE_H
#include "relay/relay.h"

/* RETIRE: from now on, or not any more. */
void retire_told(struct relay *relay, bool retires);

/* Each turn. True: no listener, no session, no event that the steward has not taken, and nothing can come any more. */
bool retire_is_done(struct relay *relay);

#endif
