/* The privileges that hooks of other users need: kept only where there are any, and else given up before anything can make use of
 * them. */
#include "steward/steward.h"

#include "base/capability.h"
#include "steward/log/log.h"

#include <linux/capability.h>
#include <string.h>
#include <syslog.h>

#define BIT(capability) ((uint64_t)1 << (capability))

/* To become another, and to end its processes. */
static const uint64_t to_run_as_others = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);

void steward_note_privileges(struct steward *s)
{
	uint64_t permitted;

	capability_keep_to_ourselves(); /* a hook's gate is given what it needs, no other program anything */
	if (capability_get_permitted(&permitted) == 0 && (permitted & to_run_as_others) == to_run_as_others)
		s->privileges = PRIVILEGES_KEPT;
}

int steward_check_users(const struct steward *s, const struct config *config, struct config_errors *errors)
{
	const char *words = NULL;
	int r;

	switch (s->privileges) {
	case PRIVILEGES_KEPT:
		return 0;
	case PRIVILEGES_NONE:
		words = "tcpwarden was started without the privileges to run hooks as another user (start it as root or by its "
			"unit, or take this out)";
		break;
	case PRIVILEGES_GIVEN_UP:
		words = "hooks of another user need privileges that this steward gave up at its start (restart tcpwarden)";
		break;
	}
	r = config_tell_users(config, false, words, errors);
	return r < 0 ? r : errors->count ? -EINVAL : 0;
}

void steward_tell_users_gone(const struct config *config)
{
	struct config_errors errors;

	if (config_tell_users(config, true, "there is no such user any more, so this hook is not run", &errors) < 0)
		return;
	for (size_t i = 0; i < errors.count; i++)
		log_line(LOG_ERR, "%s", errors.lines[i]);
	config_errors_free(&errors);
}

/* Capabilities are a thread's own, so this comes before libuv's pool has its first work. */
void steward_give_up_privileges(struct steward *s)
{
	const struct config *config = s->config ? s->config : s->change.config;
	struct config_errors users;
	uint64_t permitted;
	int r;

	if (s->privileges != PRIVILEGES_KEPT || leases_name_users(s->leases) || config_tell_users(config, false, "", &users) < 0)
		return;
	if (users.count) {
		config_errors_free(&users);
		return;
	}
	r = capability_get_permitted(&permitted);
	if (r == 0)
		r = capability_set(permitted & ~to_run_as_others, 0);
	if (r < 0)
		log_line(LOG_ERR, "privileges cannot be given up: %s", strerror(-r));
	else
		s->privileges = PRIVILEGES_GIVEN_UP;
}
