/* Session sockets: what is set on them, in one place that can say which option failed. */
#ifndef RELAY_SOCKET_H
#define RELAY_SOCKET_H
#include "base/endpoint.h"
#include "wire/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything a side's policy asks of a socket: SO_OOBINLINE, TCP_NODELAY, keepalive, TCP_USER_TIMEOUT. On a listener all of it is
 * inherited by what it accepts (tcp(7)), on a backend's socket it goes before connect. 0 or -errno with the option's name in *ret_option. */
int socket_apply(int fd, int family, const struct side_policy *policy, const char **ret_option);

/* The same but for keepalive, on a TCP socket that has been in use. */
int socket_tune(int fd, const struct side_policy *policy, const char **ret_option);

/* TCP_RTO_MAX_MS, so that the kernel asks a silent peer often enough. On a listener it is inherited and does not touch SYN-ACKs; on a
 * backend's socket it goes after connect, since it would take away from the time in which SYNs are sent. rto_max_ms: the kernel's
 * own, which is never raised; 0: it has none, and nothing is done. */
void socket_pace(int fd, const struct side_policy *policy, uint32_t rto_max_ms);

/* The keepalive numbers alone, which may be off. 0 or -errno with the option's name in *ret_option. */
int socket_set_keepalive(int fd, const struct side_policy *policy, const char **ret_option);

/* A keepalive probe now, if it has been silent for a second: setting TCP_KEEPIDLE, to what it is, begins the wait for it anew. */
void socket_press(int fd);

/* TCP_USER_TIMEOUT; 0: none. */
void socket_set_user_timeout(int fd, uint32_t timeout_ms);

/* About to be closed with bytes unacknowledged, which the kernel goes on to deliver by itself for at most so long: a peer with a
 * closed window would hold it for ever, and a slow one has to be waited for, which a lowered TCP_RTO_MAX_MS would not. */
void socket_bound_background(int fd, uint32_t timeout_ms);

/* SO_LINGER {1, 0}: the mark of a listed session. Whatever closes the socket, also our death, is then seen as a reset. */
void socket_arm_reset(int fd);
/* Taken off just before an orderly close. */
void socket_disarm_reset(int fd);
bool socket_is_armed(int fd);

/* Takes so many bytes, which are there, and drops them: tcp(7) MSG_TRUNC. 0 or -errno. */
int socket_drop(int fd, size_t bytes);

/* AF_INET, AF_INET6, AF_UNIX; -errno: no socket. */
int socket_family(int fd);

#endif
