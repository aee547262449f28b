/* Sockets bound, but not listening yet: each address kind, with errors that tell an operator what to do. */
#ifndef STEWARD_LISTEN_BIND_H
#define STEWARD_LISTEN_BIND_H
#include "steward/config/config.h"

#include <stdbool.h>

enum { BIND_ERROR_SIZE = 512 };

/* Non-blocking, close-on-exec, sharing its port with the sockets of our other relays (SO_REUSEPORT), and with what accepted
 * sockets inherit already set: urgent bytes in line, keepalive, nodelay. `alone`: none of ours has the port, so whoever has it is
 * a stranger, even one of the same user whom SO_REUSEPORT would let in. The descriptor, or -errno with `error` for people. */
int bind_tcp(const struct address *address, const struct side_policy *policy, bool alone, char error[BIND_ERROR_SIZE]);

/* A unix stream socket. A socket file that nobody answers at is replaced; a living one, or another kind of file, is an error, but
 * `ours` says that the living one is our own, to be replaced. mode: permission bits of the file, never wider on the way; -1: by
 * umask. */
int bind_unix(const char *path, int mode, bool ours, char error[BIND_ERROR_SIZE]);

/* Whether that is a socket such as these, listening, of this machine's network as we see it. */
bool bind_is(const struct address *address, int fd);

#endif
