/* `upgrade`: the steward that takes the request does not live to answer it, so how it went is asked of its successors. */
#ifndef CTL_UPGRADE_H
#define CTL_UPGRADE_H
#include "ctl/channel.h"

#include <stdbool.h>

/* The request was said on `channel`: waits for the end, and says how it went. The exit status. */
int upgrade_follow(struct channel *channel, const char *socket, bool json);

#endif
