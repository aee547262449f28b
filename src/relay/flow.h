/* One direction of bytes: from one side's socket to the other's, nothing kept in between that a death could lose.
 *
 * Small traffic: peek at the source, send, then drop from the source what was sent. Bulk: splice through a pipe that the
 * ledger lists. A unix socket has no books by which a half-done peek could be found out, so its flows always go by splice. */
#ifndef RELAY_FLOW_H
#define RELAY_FLOW_H
#include "relay/session.h"

/* Moves what side `from` sent, for at most some turns. True: there may be more to do now. Ends and failures that it meets are
 * acted on, so the session's state may have changed. */
bool flow_pump(struct relay *relay, struct session *session, enum side from);

/* Puts a text of our own into the pipe of that flow, which has no source, so that it is given to the target once. 0 or -EAGAIN: there is no pipe. */
int flow_say(struct relay *relay, struct session *session, enum side from, const char *text, size_t length);

/* Its pipe, if it has one, goes away with what is in it. */
void flow_drop_pipe(struct relay *relay, struct session *session, enum side from);

/* Both directions get a pipe for life if one side is a unix socket. 0 or -EAGAIN: there is none. */
int flow_prepare(struct relay *relay, struct session *session);

/* Without kernel books on both of its ends: adoption could not find out how far a peek had come. */
bool flow_is_bookless(const struct slot *slot);

/* Nothing more is given to its target, and what is in its pipe is dropped. */
void flow_cut(struct relay *relay, struct session *session, enum side from);

#endif
