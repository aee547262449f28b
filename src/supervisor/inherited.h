/* The listening sockets that systemd opened for us (sd_listen_fds(3)), by name. Kept for as long as the process lives: each new
 * steward is given them again. */
#ifndef SUPERVISOR_INHERITED_H
#define SUPERVISOR_INHERITED_H
#include "supervisor/estate.h"
#include "wire/message.h"

enum { INHERITED_MAX = 256 };

struct inherited {
	int count;
	struct {
		int fd;
		struct message_text name;
	} sockets[INHERITED_MAX];
};

/* Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES and takes them out of the environment. What a predecessor left goes to the
 * estate; what else is no listening stream socket is told and closed. */
void inherited_init(struct inherited *inherited, struct estate *estate);

#endif
