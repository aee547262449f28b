/* The socket that a relay passes with ACQUIRE: whose addresses hooks are told. What else the relay might pass (it can open
 * sockets of all kinds, and connect them) is told apart by what the kernel says. Nothing to own. */
#ifndef STEWARD_ROSTER_CLIENT_SOCKET_H
#define STEWARD_ROSTER_CLIENT_SOCKET_H
#include "base/endpoint.h"

/* 0 and both ends; -ENOTCONN: it was reset meanwhile; -EPROTOTYPE: no listener accepted it. */
int client_socket_name(int fd, struct endpoint *ret_client, struct endpoint *ret_local);

#endif
