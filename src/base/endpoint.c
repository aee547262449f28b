#include "base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

void endpoint_from_sockaddr(struct endpoint *ret, const struct sockaddr_storage *from)
{
	struct endpoint e = {.family = from->ss_family};

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;
		e.port = ntohs(in->sin_port);
		memcpy(e.ip, &in->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
		e.port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* a client of a "*:port" listener */
			e.family = AF_INET;
			memcpy(e.ip, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			e.scope = in6->sin6_scope_id;
			memcpy(e.ip, &in6->sin6_addr, 16);
		}
	}
	*ret = e;
}

void endpoint_format_host(const struct endpoint *e, char text[ENDPOINT_TEXT])
{
	char ip[INET6_ADDRSTRLEN];

	text[0] = '\0';
	switch (e->family) {
	case AF_INET:
	case AF_INET6:
		if (!inet_ntop(e->family, e->ip, ip, sizeof ip))
			return;
		if (e->scope)
			snprintf(text, ENDPOINT_TEXT, "%s%%%u", ip, e->scope);
		else
			snprintf(text, ENDPOINT_TEXT, "%s", ip);
		return;
	case AF_UNIX:
		snprintf(text, ENDPOINT_TEXT, "unix");
		return;
	}
}

void endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT])
{
	char host[ENDPOINT_TEXT];

	endpoint_format_host(e, host);
	if (e->family == AF_INET)
		snprintf(text, ENDPOINT_TEXT, "%.40s:%u", host, e->port);
	else if (e->family == AF_INET6)
		snprintf(text, ENDPOINT_TEXT, "[%.55s]:%u", host, e->port);
	else
		snprintf(text, ENDPOINT_TEXT, "%s", host[0] ? host : "-");
}
