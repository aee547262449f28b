#include "supervisor/privilege.h"

#include "base/capability.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#define DAEMON_USER     "tcpwarden"
#define BIT(capability) ((uint64_t)1 << (capability))

static const uint64_t to_separate = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);
static const uint64_t wanted = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE);

static const char *const make_users = "make it with systemd-sysusers or useradd --system, or start tcpwarden as an ordinary user";

static int become_daemon_user(char error[512])
{
	struct passwd *user;

	errno = 0;
	user = getpwnam(DAEMON_USER);
	if (!user) {
		snprintf(error, 512, "there is no user " DAEMON_USER " to run as%s%s: %s", errno ? ": " : "",
			errno ? strerror(errno) : "", make_users);
		return EX_NOUSER;
	}
	if (user->pw_uid == 0) {
		snprintf(error, 512, "the user " DAEMON_USER " is root: give it a number of its own");
		return EX_NOUSER;
	}
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || initgroups(DAEMON_USER, user->pw_gid) < 0 ||
		setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0) {
		snprintf(error, 512, "root cannot become the user " DAEMON_USER ": %s", strerror(errno));
		return EX_NOPERM;
	}
	return 0;
}

int privilege_drop(struct privilege *ret, char error[512])
{
	int r;

	memset(ret, 0, sizeof *ret);
	if (geteuid() == 0) {
		r = become_daemon_user(error);
		if (r)
			return r;
	}
	r = capability_get_permitted(&ret->have);
	ret->have &= wanted;
	if (!r)
		r = capability_set(ret->have, 0);
	/* What systemd gave as ambient would go on to everything that is executed. EINVAL: a kernel without them has none. */
	if (!r && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		r = -errno;
	if (r < 0) {
		snprintf(error, 512, "capabilities cannot be set: %s", strerror(-r));
		return EX_NOPERM;
	}
	ret->relay_uid = geteuid();
	ret->relay_gid = getegid();
	return 0;
}

int privilege_choose_relay(struct privilege *privilege, const char *name, char error[512])
{
	struct passwd *user;

	if ((privilege->have & to_separate) != to_separate)
		return 0;
	errno = 0;
	user = getpwnam(name);
	if (!user) {
		snprintf(error, 512, "users.relay: there is no user %s%s%s: %s", name, errno ? ": " : "",
			errno ? strerror(errno) : "", make_users);
		return EX_NOUSER;
	}
	if (user->pw_uid == 0) {
		snprintf(error, 512, "users.relay: %s is root: relays run without any privilege, name a user of their own", name);
		return EX_CONFIG;
	}
	privilege->separated = user->pw_uid != geteuid();
	privilege->relay_uid = user->pw_uid;
	privilege->relay_gid = user->pw_gid;
	return 0;
}

int privilege_become_role(const struct privilege *privilege, enum privilege_role role)
{
	switch (role) {
	case ROLE_STEWARD:
		return capability_pass_on(privilege->have);
	case ROLE_HOLDER:
		if (privilege->separated &&
			(syscall(SYS_setgroups, (size_t)0, NULL) < 0 ||
				setresgid(privilege->relay_gid, privilege->relay_gid, privilege->relay_gid) < 0 ||
				setresuid(privilege->relay_uid, privilege->relay_uid, privilege->relay_uid) < 0))
			return -errno;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || chdir("/") < 0)
			return -errno;
		/* Between two ordinary users setresuid takes nothing away by itself. */
		return capability_set(0, 0);
	}
	return -EINVAL;
}
