/* Which role runs as whom, and with what capabilities (capabilities(7)).
 *
 *   supervisor  tcpwarden         SETUID SETGID KILL NET_BIND_SERVICE, none of them inherited by accident
 *   steward     tcpwarden         the same; it keeps all but NET_BIND_SERVICE only if hooks run as other users
 *   holder      users.relay       none, and none to be had (no_new_privs)
 *
 * Started by root, or by systemd as User=tcpwarden with these as ambient capabilities; an ordinary user without them runs all
 * roles as himself. */
#ifndef SUPERVISOR_PRIVILEGE_H
#define SUPERVISOR_PRIVILEGE_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum privilege_role { ROLE_STEWARD, ROLE_HOLDER };

struct privilege {
	uint64_t have;   /* capabilities that the supervisor kept, as bits */
	bool separated;  /* holders run as another user than we do */
	uid_t relay_uid; /* ours, if not separated */
	gid_t relay_gid;
};

/* Root becomes the user tcpwarden; all keep only the capabilities above. 0 or an exit status of sysexits.h with `error` set. */
int privilege_drop(struct privilege *ret, char error[512]);

/* Who relays run as, once the config is known. The same. */
int privilege_choose_relay(struct privilege *privilege, const char *user, char error[512]);

/* In the child, before exec. 0 or -errno. */
int privilege_become_role(const struct privilege *privilege, enum privilege_role role);

#endif
