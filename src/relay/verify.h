/* What a relay that starts believes of the ledger that it finds. A predecessor of ours leaves nothing wrong in it, wherever it
 * was killed; but one that wrote to wrong memory may have, and then each entry that cannot be right is dropped by itself: a
 * session's sockets, which no one lists then, are reset by the adoption that follows, and its lease is missed, and released, by
 * the steward. */
#ifndef RELAY_VERIFY_H
#define RELAY_VERIFY_H
#include "relay/relay.h"
#include "relay/table.h"

/* Before anything else is read from it: what the header says of the whole. index: of our pair, as our holder was told by the
 * supervisor. 0; -EUCLEAN: it is another relay's, or damaged. */
int verify_header(struct ledger *ledger, uint32_t index);

/* Before anything is adopted, or opened for good. After it each number in the listeners, the pipes and the slots that are not
 * free is within what it indexes, and each descriptor is open and listed once. Of listeners and pipes, and of the sockets of
 * sessions that do not relay yet, it is also known that they are what they are said to be. 0 or -ENOMEM. */
int verify_ledger(struct relay *relay, const struct table *table);

/* Before that session is adopted: its sockets are connected with whom it names, as far as the kernel still tells. False: they are
 * not, which was said; it is to be dropped. */
bool verify_session(const struct relay *relay, uint32_t index);

/* Whether the kernel says of its sockets and pipes what the slot says; what is wrong, or NULL. */
const char *verify_descriptors(const struct relay *relay, const struct slot *slot);

#endif
