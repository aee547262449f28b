/* An address of one end of a connection in 24 bytes, fit for shared memory: IPv4, IPv6, or the bare fact
 * that it is a unix socket (whose path stands where it was configured, not in each session). */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
	uint16_t family; /* AF_UNSPEC: unknown; AF_INET; AF_INET6; AF_UNIX */
	uint16_t port;   /* host order */
	uint32_t scope;  /* IPv6 zone index, else 0 */
	uint8_t ip[16];  /* IPv4 uses the first four */
};

enum { ENDPOINT_TEXT = 64 }; /* "[ipv6%4294967295]:65535" and a NUL fit */

/* Never fails: what is no IP address becomes its bare family. */
void endpoint_from_sockaddr(struct endpoint *ret, const struct sockaddr_storage *from);

/* "192.0.2.1:80", "[2001:db8::1]:80", "unix", "-" */
void endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT]);

/* The address alone, without brackets and port: what hooks are told. "unix" and "" likewise. */
void endpoint_format_host(const struct endpoint *e, char text[ENDPOINT_TEXT]);

#endif
