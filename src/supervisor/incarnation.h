/* What a table of descriptors lives with: the ledger of its pair, the channel between steward and relay, and the one to its
 * holder, each left to a successor under the number of the incarnation. Part of a pair; dropped when the table is gone. */
#ifndef SUPERVISOR_INCARNATION_H
#define SUPERVISOR_INCARNATION_H
#include "supervisor/estate.h"
#include "supervisor/pair.h"

struct estate_name incarnation_name(const struct pair *pair, enum estate_kind kind);

/* The next one. 0 or -errno: then what was made of it is to be dropped. */
int incarnation_make(struct pair *pair);

void incarnation_drop(struct pair *pair);

/* As a predecessor left it; *ret_channel: our end of the holder's, if one was started. 0 or -errno: not whole. */
int incarnation_take_up(struct pair *pair, int *ret_channel);

#endif
