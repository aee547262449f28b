/* What the kernel has of one side's socket: how much of its stream the other end acknowledged, how much came in. */
#ifndef CHAOS_BOOKS_H
#define CHAOS_BOOKS_H
#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

enum { BOOKS_ESTABLISHED = 1, BOOKS_FIN_WAIT1 = 4, BOOKS_FIN_WAIT2 = 5, BOOKS_CLOSE = 7 };

struct books {
	uint64_t acked;    /* bytes of ours that were acknowledged; neither SYN nor FIN is counted */
	uint64_t received; /* bytes that came in, read or not; a FIN is counted */
	uint64_t unread;
	bool fin_acked;
	int state; /* include/net/tcp_states.h */
};

/* fin: our end of stream was sent. 0 or -errno. */
int books_look(int fd, enum side side, bool fin, struct books *ret);

/* From here on nothing comes in any more: a look now and a reset after it leave no bytes between them. What comes meanwhile is as
 * good as lost on the way. What had come is acknowledged 200 ms later at the latest: include/net/tcp.h TCP_DELACK_MAX.
 * False: this system lets only root do it. */
bool books_settle(int fd);
void books_unsettle(int fd);

/* From here on nothing that it sends leaves this system, where its packet filter drops what bears BOOKS_MARK. */
enum { BOOKS_MARK = 0x77 };
void books_mute(int fd);

#endif
