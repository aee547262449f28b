/* "HOST:PORT", "[IPV6]:PORT" (numeric) or "unix:PATH", as a socket address. */
#ifndef LOAD_ADDRESS_H
#define LOAD_ADDRESS_H
#include <sys/socket.h>

int address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length); /* 0 or -EINVAL */

#endif
