/* Addresses as configured: taking them apart, comparing them, and the socket address of those that need no lookup.
 * struct address is a value; nothing here owns anything. */
#ifndef STEWARD_CONFIG_ADDRESS_H
#define STEWARD_CONFIG_ADDRESS_H
#include "steward/config/config.h"

#include <sys/socket.h>

enum { ADDRESS_WHY = 320 };

/* Where it will be used. A listener may be "*:80" and "systemd:NAME" and has a numeric host; a backend may have a name. */
enum address_use { ADDRESS_LISTEN, ADDRESS_BACKEND };

/* 0 and *ret; or -EINVAL, and `why` says what is wrong and what would be right. */
int address_parse(const char *text, enum address_use use, struct address *ret, char why[ADDRESS_WHY]);

/* The socket address of a numeric host, of "*" (the IPv6 wildcard), or of a unix path: no lookup, never blocks.
 * 0; -ENOENT: it is a name or systemd's; -ENODEV: its IPv6 zone is no interface of this machine (now). */
int address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret, socklen_t *ret_length);

/* Whether two listeners would want the same socket: the same address, however written, or both wildcards ("*:80" takes IPv4 and
 * IPv6). One address and a wildcard do not clash: the kernel gives a connection to the more exact one. */
bool address_clashes(const struct address *a, const struct address *b);

#endif
