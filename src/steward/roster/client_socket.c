#include "steward/roster/client_socket.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

static int option(int fd, int name)
{
	int value = -1;
	socklen_t length = sizeof value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

/* Of who connects, the SYN counts among the bytes that were acknowledged (tcp_ack); who was accepted and was given nothing yet
 * has none. */
static bool is_accepted(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof info;

	if (option(fd, SO_TYPE) != SOCK_STREAM || option(fd, SO_ACCEPTCONN) != 0)
		return false;
	if (option(fd, SO_DOMAIN) == AF_UNIX)
		return true;
	return option(fd, SO_PROTOCOL) == IPPROTO_TCP && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
	       info.tcpi_bytes_acked == 0;
}

static int name(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), struct endpoint *ret)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof address;

	if (ask(fd, (struct sockaddr *)&address, &length) < 0)
		return -ENOTCONN;
	endpoint_from_sockaddr(ret, &address);
	return 0;
}

int client_socket_name(int fd, struct endpoint *ret_client, struct endpoint *ret_local)
{
	struct endpoint client, local;

	if (!is_accepted(fd))
		return -EPROTOTYPE;
	if (name(fd, getpeername, &client) < 0 || name(fd, getsockname, &local) < 0)
		return -ENOTCONN;
	*ret_client = client;
	*ret_local = local;
	return 0;
}
