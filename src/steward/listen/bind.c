#include "steward/listen/bind.h"

#include "steward/config/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct option {
	int level, name, value;
	const char *words;
};

static int set_options(int fd, const struct option *options, size_t count, const char **ret_failed)
{
	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value) < 0) {
			*ret_failed = options[i].words;
			return -errno;
		}
	return 0;
}

static int set_policy(int fd, const struct address *address, int family, const struct side_policy *p, const char **ret_failed)
{
	const struct option always[] = {
		{SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
		{SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"},
		{IPPROTO_TCP, TCP_NODELAY, p->nodelay, "TCP_NODELAY"},
		{SOL_SOCKET, SO_KEEPALIVE, p->keepalive_idle_s > 0, "SO_KEEPALIVE"},
	};
	const struct option keepalive[] = {
		{IPPROTO_TCP, TCP_KEEPIDLE, (int)p->keepalive_idle_s, "TCP_KEEPIDLE"},
		{IPPROTO_TCP, TCP_KEEPINTVL, (int)p->keepalive_interval_s, "TCP_KEEPINTVL"},
		{IPPROTO_TCP, TCP_KEEPCNT, (int)p->keepalive_count, "TCP_KEEPCNT"},
	};
	const struct option only6 = {IPPROTO_IPV6, IPV6_V6ONLY, !address->any_family, "IPV6_V6ONLY"};
	int r = set_options(fd, always, sizeof always / sizeof always[0], ret_failed);

	if (r == 0 && p->keepalive_idle_s > 0)
		r = set_options(fd, keepalive, sizeof keepalive / sizeof keepalive[0], ret_failed);
	if (r == 0 && family == AF_INET6)
		r = set_options(fd, &only6, 1, ret_failed);
	return r;
}

static const char *remedy(int error, uint16_t port)
{
	switch (error) {
	case EADDRINUSE:
		return "stop what listens there, `ss -ltnp` names it, or choose another port";
	case EADDRNOTAVAIL:
		return "no interface of this machine has this address, `ip addr` lists them; or set net.ipv4.ip_nonlocal_bind";
	case EACCES:
	case EPERM:
		return port < 1024 ? "ports below 1024 need CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
				   : "a security policy of this machine forbids it";
	case EAFNOSUPPORT:
		return "this kernel runs without that address family";
	case ENODEV:
	case EINVAL:
		return "is the interface after % there, and is it needed?";
	case EMFILE:
	case ENFILE:
		return "raise LimitNOFILE";
	}
	return "see the errno in socket(7), ip(7)";
}

static int fail(int fd, const char *text, int error, uint16_t port, const char *what, char out[BIND_ERROR_SIZE])
{
	if (fd >= 0)
		close(fd);
	snprintf(out, BIND_ERROR_SIZE, "%s: %s%s%s (%s)", text, what, what[0] ? ": " : "", strerror(error), remedy(error, port));
	return -error;
}

/* Without SO_REUSEPORT the kernel tells of every listener on the port, also of one that would share it with us. */
static int meet_stranger(const struct address *address, int family, const struct sockaddr_storage *to, socklen_t length)
{
	static const int on = 1;
	int only6 = !address->any_family;
	int r = 0, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
	if (bind(fd, (const struct sockaddr *)to, length) < 0 && errno == EADDRINUSE)
		r = EADDRINUSE;
	close(fd);
	return r;
}

int bind_tcp(const struct address *address, const struct side_policy *policy, bool alone, char error[BIND_ERROR_SIZE])
{
	static const struct option share = {SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"};
	struct sockaddr_storage to;
	socklen_t length;
	const char *failed = "";
	int fd, r;

	r = address_to_sockaddr(address, &to, &length);
	if (r < 0) {
		snprintf(error, BIND_ERROR_SIZE, "%s: %s", address->text,
			r == -ENODEV ? "this machine has no such interface (`ip link` lists them)"
				     : "not an address that can be bound");
		return r;
	}
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && address->any_family) {
		/* A machine without IPv6: both families is then IPv4. */
		struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(address->port)};

		memcpy(&to, &any, sizeof any);
		length = sizeof any;
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return fail(-1, address->text, errno, address->port, "socket", error);
	if (alone && (r = meet_stranger(address, to.ss_family, &to, length)) != 0)
		return fail(fd, address->text, r, address->port, "", error);
	r = set_policy(fd, address, to.ss_family, policy, &failed);
	if (r == 0)
		r = set_options(fd, &share, 1, &failed);
	if (r < 0)
		return fail(fd, address->text, -r, address->port, failed, error);
	if (bind(fd, (const struct sockaddr *)&to, length) < 0)
		return fail(fd, address->text, errno, address->port, "", error);
	return fd;
}

static int say(char error[BIND_ERROR_SIZE], int r, const char *path, const char *words)
{
	snprintf(error, BIND_ERROR_SIZE, "unix:%s: %s", path, words);
	return r;
}

/* 0: the way is free; else -errno and error said. */
static int clear_way(const char *path, const struct sockaddr_un *to, bool ours, char error[BIND_ERROR_SIZE])
{
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0; /* or its directory is missing: bind(2) says so */
		r = -errno;
		return say(error, r, path, strerror(-r));
	}
	if (!S_ISSOCK(st.st_mode))
		return say(error, -EEXIST, path, "a file that is no socket stands there (remove it, or choose another path)");
	if (!ours) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			r = -errno;
			return say(error, r, path, strerror(-r));
		}
		r = connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 ? errno : 0;
		close(fd);
		/* A bound socket that nobody serves any more refuses: unix(7). EAGAIN is a full queue, so somebody lives. */
		if (r != ECONNREFUSED && r != ENOENT)
			return say(error, -EADDRINUSE, path, "another process listens there (stop it, or choose another path)");
	}
	if (unlink(path) < 0 && errno != ENOENT) {
		r = -errno;
		return say(error, r, path,
			"a stale socket stands there and cannot be removed (its directory must be writable for us)");
	}
	return 0;
}

int bind_unix(const char *path, int mode, bool ours, char error[BIND_ERROR_SIZE])
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	mode_t old = 0;
	int fd, r;

	if (length >= sizeof to.sun_path)
		return say(error, -ENAMETOOLONG, path, "the path is too long for a socket (107 bytes at most)");
	memcpy(to.sun_path, path, length + 1);
	r = clear_way(path, &to, ours, error);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		r = -errno;
		return say(error, r, path, strerror(-r));
	}
	/* The umask is the process's; the loop's thread is the only one that makes files by it while this runs. */
	if (mode >= 0)
		old = umask((mode_t)(~mode & 0777));
	r = bind(fd, (const struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
	if (mode >= 0)
		umask(old);
	if (r == 0)
		return fd;
	close(fd);
	if (r == -ENOENT)
		return say(
			error, r, path, "its directory does not exist (make it, or let RuntimeDirectory= of the unit make it)");
	if (r == -EACCES)
		return say(error, r, path, "permission denied (we must be able to write in its directory)");
	return say(error, r, path, strerror(-r));
}

/* A network of one's own is had for nothing, with any address and any client in it. */
static bool is_of_our_network(int fd)
{
	uint64_t its = 0, ours = 1;
	socklen_t length = sizeof its;
	int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool same = own >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &its, &length) == 0 &&
		    getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &ours, &length) == 0 && its == ours;

	if (own >= 0)
		close(own);
	return same;
}

bool bind_is(const struct address *address, int fd)
{
	struct sockaddr_storage at = {0}, wanted = {0};
	socklen_t length = sizeof at, wanted_length = sizeof wanted;
	struct endpoint is, other;
	int listening = 0;
	socklen_t size = sizeof listening;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening || !is_of_our_network(fd) ||
		getsockname(fd, (struct sockaddr *)&at, &length) < 0)
		return false;
	if (address->kind == ADDRESS_UNIX)
		return at.ss_family == AF_UNIX && strcmp(((struct sockaddr_un *)&at)->sun_path, address->host) == 0;
	if (address->kind != ADDRESS_HOST || address_to_sockaddr(address, &wanted, &wanted_length) < 0)
		return false;
	if (address->any_family && at.ss_family == AF_INET) /* the machine was without IPv6 */
		return ((struct sockaddr_in *)&at)->sin_addr.s_addr == INADDR_ANY &&
		       ntohs(((struct sockaddr_in *)&at)->sin_port) == address->port;
	endpoint_from_sockaddr(&is, &at);
	endpoint_from_sockaddr(&other, &wanted);
	return is.family == other.family && is.port == other.port && memcmp(is.ip, other.ip, sizeof is.ip) == 0;
}
