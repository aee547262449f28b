#include "steward/config/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static __attribute__((format(printf, 2, 3))) int wrong(char why[ADDRESS_WHY], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, ADDRESS_WHY, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static bool only(const char *text, const char *more)
{
	for (; *text; text++)
		if (!strchr(alphanumeric, *text) && !strchr(more, *text))
			return false;
	return true;
}

/* "fe80::1%eth0" apart: the zone of an IPv6 address is not inet_pton's business. */
static bool parse_ip6(const char *host, struct in6_addr *ret, char zone[IF_NAMESIZE])
{
	char ip[INET6_ADDRSTRLEN];
	const char *percent = strchr(host, '%');
	size_t length = percent ? (size_t)(percent - host) : strlen(host);

	zone[0] = '\0';
	if (length >= sizeof ip)
		return false;
	memcpy(ip, host, length);
	ip[length] = '\0';
	if (percent) {
		size_t zone_length = strlen(percent + 1);
		if (zone_length == 0 || zone_length >= IF_NAMESIZE)
			return false;
		memcpy(zone, percent + 1, zone_length + 1);
	}
	return inet_pton(AF_INET6, ip, ret) == 1;
}

static int parse_unix(const char *path, struct address *a, char why[ADDRESS_WHY])
{
	const size_t longest = sizeof((struct sockaddr_un *)0)->sun_path - 1;

	a->kind = ADDRESS_UNIX;
	if (path[0] != '/')
		return wrong(why, "\"%s\" is not an absolute path (for example \"unix:/run/plc.sock\")", a->text);
	if (strlen(path) > longest)
		return wrong(why, "its path has %zu bytes (a unix socket's has at most %zu)", strlen(path), longest);
	strcpy(a->host, path);
	return 0;
}

static int parse_systemd(const char *name, struct address *a, enum address_use use, char why[ADDRESS_WHY])
{
	a->kind = ADDRESS_SYSTEMD;
	if (use == ADDRESS_BACKEND)
		return wrong(why, "\"%s\" can only be listened on (a backend is \"HOST:PORT\" or \"unix:/path\")", a->text);
	if (name[0] == '\0' || strlen(name) > 255)
		return wrong(why,
			"\"%s\" does not name a socket (\"systemd:NAME\", with NAME as in FileDescriptorName= of the .socket "
			"unit)",
			a->text);
	strcpy(a->host, name);
	return 0;
}

static int parse_port(const char *port, struct address *a, char why[ADDRESS_WHY])
{
	unsigned long number;

	if (port[0] == '\0')
		return wrong(why, "\"%s\" has no port after the colon (for example \"%s80\")", a->text, a->text);
	if (strspn(port, "0123456789") != strlen(port))
		return wrong(why, "\"%s\" is not a port (a number from 1 to 65535)", port);
	number = strtoul(port, NULL, 10);
	if (strlen(port) > 5 || number < 1 || number > 65535)
		return wrong(why, "port %s is not possible (1 to 65535)", port);
	a->port = (uint16_t)number;
	return 0;
}

static int check_host(struct address *a, bool bracketed, enum address_use use, char why[ADDRESS_WHY])
{
	struct in6_addr ip6;
	struct in_addr ip4;
	char zone[IF_NAMESIZE];

	if (bracketed) {
		if (!parse_ip6(a->host, &ip6, zone))
			return wrong(why, "\"%s\" is not an IPv6 address (for example \"[2001:db8::1]:%u\")", a->host, a->port);
		if (IN6_IS_ADDR_V4MAPPED(&ip6))
			return wrong(why, "\"%s\" is an IPv4 address in IPv6 form (write the IPv4 address)", a->host);
		if (use == ADDRESS_BACKEND && IN6_IS_ADDR_UNSPECIFIED(&ip6))
			return wrong(why, "nothing can be reached at \"%s\" (for this machine: \"[::1]:%u\")", a->text, a->port);
		return 0;
	}
	if (strcmp(a->host, "*") == 0) {
		if (use == ADDRESS_BACKEND)
			return wrong(why, "a backend cannot be everywhere (for this machine: \"127.0.0.1:%u\")", a->port);
		a->any_family = true;
		return 0;
	}
	if (inet_pton(AF_INET, a->host, &ip4) == 1) {
		if (use == ADDRESS_BACKEND && ip4.s_addr == htonl(INADDR_ANY))
			return wrong(
				why, "nothing can be reached at \"%s\" (for this machine: \"127.0.0.1:%u\")", a->text, a->port);
		return 0;
	}
	/* The resolver would take "127.1" and "10" for addresses, and no one means that. */
	if (strspn(a->host, "0123456789.") == strlen(a->host))
		return wrong(why, "\"%s\" is not an IPv4 address (four numbers from 0 to 255)", a->host);
	if (!only(a->host, "-._"))
		return wrong(why, "\"%s\" is not a host name (letters, digits, \"-\", \".\", \"_\")", a->host);
	if (use == ADDRESS_LISTEN)
		return wrong(why,
			"\"%s\" is a name (a listener needs an address: \"127.0.0.1:%u\", \"[::1]:%u\", \"*:%u\" for all)",
			a->host, a->port, a->port, a->port);
	return 0;
}

static int parse_host(struct address *a, enum address_use use, char why[ADDRESS_WHY])
{
	const char *host = a->text, *end;
	bool bracketed = host[0] == '[';
	struct in6_addr ip6;
	int r;

	if (bracketed) {
		host++;
		end = strchr(host, ']');
		if (!end)
			return wrong(why, "\"%s\" lacks a closing bracket (for example \"[::1]:80\")", a->text);
		if (end[1] != ':')
			return wrong(
				why, "\"%s\" has no port (for example \"%.*s]:80\")", a->text, (int)(end - a->text), a->text);
		r = parse_port(end + 2, a, why);
	} else {
		end = strrchr(host, ':');
		if (!end && strspn(host, "0123456789") == strlen(host))
			return wrong(why, "\"%s\" has no host (for example \"%s:%s\")", a->text,
				use == ADDRESS_LISTEN ? "*" : "127.0.0.1", host);
		if (!end)
			return wrong(why, "\"%s\" has no port (for example \"%.80s:80\")", a->text, a->text);
		if (memchr(host, ':', (size_t)(end - host)) || inet_pton(AF_INET6, host, &ip6) == 1)
			return wrong(why, "\"%s\" is ambiguous (an IPv6 address stands in brackets: \"[::1]:80\")", a->text);
		r = parse_port(end + 1, a, why);
	}
	if (r < 0)
		return r;
	if (end == host)
		return wrong(why, "\"%s\" has no host (for example \"%s:%u\")", a->text,
			use == ADDRESS_LISTEN ? "*" : "127.0.0.1", a->port);
	memcpy(a->host, host, (size_t)(end - host));
	return check_host(a, bracketed, use, why);
}

int address_parse(const char *text, enum address_use use, struct address *ret, char why[ADDRESS_WHY])
{
	struct address a = {.kind = ADDRESS_HOST};
	int r;

	if (text[0] == '\0')
		return wrong(why, "an empty address (for example \"%s\")", use == ADDRESS_LISTEN ? "*:80" : "127.0.0.1:80");
	for (const char *p = text; *p; p++)
		if (iscntrl((unsigned char)*p) || *p == ' ')
			return wrong(
				why, "an address with a space or control character in it (each address is a text of its own)");
	if (strlen(text) >= sizeof a.text)
		return wrong(why, "an address of %zu bytes (at most %zu)", strlen(text), sizeof a.text - 1);
	strcpy(a.text, text);
	if (strncmp(text, "unix:", 5) == 0)
		r = parse_unix(text + 5, &a, why);
	else if (strncmp(text, "systemd:", 8) == 0)
		r = parse_systemd(text + 8, &a, use, why);
	else if (text[0] == '/')
		r = wrong(why, "\"%s\" looks like a path (\"unix:%.90s\")", text, text);
	else
		r = parse_host(&a, use, why);
	if (r < 0)
		return r;
	*ret = a;
	return 0;
}

int address_to_sockaddr(const struct address *address, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char zone[IF_NAMESIZE];

	memset(ret, 0, sizeof *ret);
	switch (address->kind) {
	case ADDRESS_SYSTEMD:
		return -ENOENT;
	case ADDRESS_UNIX:
		strcpy(un.sun_path, address->host);
		*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(un.sun_path) + 1);
		memcpy(ret, &un, *ret_length);
		return 0;
	case ADDRESS_HOST:
		break;
	}
	if (inet_pton(AF_INET, address->host, &in.sin_addr) == 1) {
		memcpy(ret, &in, sizeof in);
		*ret_length = sizeof in;
		return 0;
	}
	if (!address->any_family && !parse_ip6(address->host, &in6.sin6_addr, zone))
		return -ENOENT;
	if (!address->any_family && zone[0] != '\0') {
		in6.sin6_scope_id = if_nametoindex(zone);
		if (in6.sin6_scope_id == 0 && strspn(zone, "0123456789") == strlen(zone))
			in6.sin6_scope_id = (uint32_t)strtoul(zone, NULL, 10);
		if (in6.sin6_scope_id == 0)
			return -ENODEV;
	}
	memcpy(ret, &in6, sizeof in6);
	*ret_length = sizeof in6;
	return 0;
}

bool address_clashes(const struct address *a, const struct address *b)
{
	struct in6_addr ip[2];
	struct in_addr ip4;
	char zone[2][IF_NAMESIZE];
	const struct address *both[2] = {a, b};
	bool is6[2], any[2];

	if (a->kind != b->kind)
		return false;
	if (a->kind != ADDRESS_HOST)
		return strcmp(a->host, b->host) == 0;
	if (a->port != b->port)
		return false;
	for (int i = 0; i < 2; i++) {
		is6[i] = parse_ip6(both[i]->host, &ip[i], zone[i]);
		any[i] = both[i]->any_family || (is6[i] && IN6_IS_ADDR_UNSPECIFIED(&ip[i])) ||
			 (inet_pton(AF_INET, both[i]->host, &ip4) == 1 && ip4.s_addr == htonl(INADDR_ANY));
	}
	if (a->any_family || b->any_family)
		return any[0] && any[1];
	if (is6[0] && is6[1])
		return memcmp(&ip[0], &ip[1], sizeof ip[0]) == 0 && strcmp(zone[0], zone[1]) == 0;
	return strcmp(a->host, b->host) == 0; /* inet_pton takes but one way to write an IPv4 address */
}
