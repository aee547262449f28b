/* A session as the JSON object that clients of the control socket get: what its slot says, and what the kernel says of its
 * connections. */
#ifndef STEWARD_CONTROL_DESCRIBE_H
#define STEWARD_CONTROL_DESCRIBE_H
#include "steward/control/client.h"

/* A new reference. slot: a copy. fully: with what only `show` tells. */
json_t *describe_session(struct control *control, const struct session_key *key, const struct slot *slot, bool fully);

/* What the kernel says of that side's connection: as tcp_view_ask; -ENOTCONN: it has no socket now. */
int describe_ask(struct control *control, const struct slot *slot, enum side side, struct tcp_facts *ret);

#endif
