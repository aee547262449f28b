/* What a relay that starts believes of the ledger that it finds. A predecessor of ours leaves nothing wrong in it, wherever it
 * was killed; but one that wrote to wrong memory may have, and then each entry that cannot be right is dropped by itself: a
 * session's sockets, which no one lists then, are reset by the adoption that follows, and its lease is missed, and released, by
 * the steward. */
#ifndef RELAY_VERIFY_H
#define RELAY_VERIFY_H
#include "relay/relay.h"

/* Before anything else is read from it: what the header says of the whole. index: of our pair, as our holder was told by the
 * supervisor. 0; -EUCLEAN: it is another relay's, or damaged. */
int verify_header(struct ledger *ledger, uint32_t index);

/* Before anything is adopted. After it each number in the listeners, the pipes and the slots that are not free is within what it
 * indexes, and each descriptor is listed once, is of its kind, and is connected with whom its session names, as far as the kernel
 * still tells. 0 or -ENOMEM. */
int verify_ledger(struct relay *relay);

#endif
