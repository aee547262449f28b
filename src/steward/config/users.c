/* Who a hook runs as: its user and group by name become numbers. */
#include "steward/config/reader.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct place {
	char path[READER_PATH];
	unsigned line;
	const char *text; /* what stands there; NULL: nothing that was taken */
};

/* Where that setting of the hook stands: in this group (a service, or the defaults), else in the defaults. Whether in this. */
static bool find(struct place *ret, const struct reader *r, const char *path, const config_setting_t *group, const char *hook,
	const char *name)
{
	char at[64];
	const config_setting_t *value, *here;

	snprintf(at, sizeof at, "hooks.%s.%s", hook, name);
	value = here = config_setting_lookup((config_setting_t *)(uintptr_t)group, at); /* it only reads */
	if (!here && r->defaults) {
		path = "defaults";
		value = config_setting_lookup((config_setting_t *)(uintptr_t)r->defaults, at);
	}
	snprintf(ret->path, sizeof ret->path, "%.90s.%.60s", path, at);
	ret->line = value ? config_setting_source_line(value) : 0;
	ret->text = value ? config_setting_get_string(value) : NULL;
	return here;
}

static const char *cause(int error)
{
	/* getpwnam(3): what is not found may say any of these. */
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? NULL : strerror(error);
}

static bool look_up_groups(struct reader *r, struct hook_user *user, const char *name)
{
	gid_t groups[HOOK_USER_GROUPS_MAX];
	int count = HOOK_USER_GROUPS_MAX;

	if (getgrouplist(name, user->gid, groups, &count) < 0)
		return false;
	user->groups = calloc((size_t)count + 1, sizeof *user->groups);
	if (!user->groups) {
		r->no_memory = true;
		return true;
	}
	for (int i = 0; i < count; i++)
		user->groups[i] = groups[i];
	user->group_count = (size_t)count;
	return true;
}

/* False: it was complained of. */
static bool look_up(struct reader *r, const struct place *user_at, const struct place *group_at, const struct hook_config *hook,
	struct hook_user *ret)
{
	const struct passwd *user;
	const struct group *group = NULL;
	const char *why;

	if (strcmp(hook->user, r->config->settings.user_relay) == 0) {
		reader_complain(r, user_at->line, user_at->path,
			"\"%s\" is the user of the relays, which a hook could end (a user of its own)", hook->user);
		return false;
	}
	errno = 0;
	user = getpwnam(hook->user);
	if (!user) {
		why = cause(errno);
		reader_complain(r, user_at->line, user_at->path, "there is no user \"%s\"%s%s (make it: useradd --system %s)",
			hook->user, why ? ", or it cannot be found: " : "", why ? why : "", hook->user);
		return false;
	}
	if (user->pw_uid == 0) {
		reader_complain(r, user_at->line, user_at->path, "\"%s\" is root (a user without privileges)", hook->user);
		return false;
	}
	*ret = (struct hook_user){.uid = user->pw_uid, .gid = user->pw_gid};
	errno = 0;
	if (hook->group && !(group = getgrnam(hook->group))) {
		why = cause(errno);
		reader_complain(r, group_at->line, group_at->path, "there is no group \"%s\"%s%s (make it: groupadd --system %s)",
			hook->group, why ? ", or it cannot be found: " : "", why ? why : "", hook->group);
		return false;
	}
	if (group)
		ret->gid = group->gr_gid;
	ret->other = ret->uid != geteuid() || ret->gid != getegid();
	if (ret->other && !look_up_groups(r, ret, hook->user)) {
		reader_complain(r, user_at->line, user_at->path, "\"%s\" is in more than %d groups (a user that is in fewer)",
			hook->user, HOOK_USER_GROUPS_MAX);
		return false;
	}
	return true;
}

void read_hook_user(
	struct reader *r, const char *path, const config_setting_t *group, enum hook_event event, struct hook_config *hook)
{
	const char *word = hook_event_word(event);
	struct place user_at, group_at;
	bool muted = r->muted, here;

	if (!hook->user && !hook->group)
		return;
	here = find(&group_at, r, path, group, word, "group");
	if (!hook->user) {
		if (group != r->defaults && hook->command)
			reader_complain(r, group_at.line, group_at.path, "the group of no user (name its user, too)");
		return;
	}
	here = find(&user_at, r, path, group, word, "user") || here;
	if (!user_at.text || strcmp(user_at.text, hook->user) != 0 ||
		(hook->group && (!group_at.text || strcmp(group_at.text, hook->group) != 0)))
		return; /* that was complained of; what the defaults say is not meant */
	free(hook->user_at);
	if (asprintf(&hook->user_at, "%s:%u: %s", r->file, user_at.line, user_at.path) < 0) {
		hook->user_at = NULL;
		r->no_memory = true;
		return;
	}
	hook_user_fini(&hook->runs_as);
	/* What stands in the defaults is complained of once, there; and a config that was accepted once is not refused. */
	r->muted = muted || !here || r->again;
	if (!look_up(r, &user_at, &group_at, hook, &hook->runs_as)) {
		hook_user_fini(&hook->runs_as);
		hook->runs_as = (struct hook_user){.other = true, .uid = HOOK_USER_GONE};
	}
	r->muted = muted;
}

static int add_line(struct config_errors *errors, const char *at, const char *words)
{
	char **lines = reallocarray(errors->lines, errors->count + 1, sizeof *lines);

	if (!lines)
		return -ENOMEM;
	errors->lines = lines;
	if (asprintf(&lines[errors->count], "%s: %s", at, words) < 0)
		return -ENOMEM;
	errors->count++;
	return 0;
}

int config_tell_users(const struct config *config, bool gone, const char *words, struct config_errors *ret)
{
	int r = 0;

	*ret = (struct config_errors){NULL, 0};
	for (size_t i = 0; i < config->service_count; i++) {
		for (enum hook_event event = 0; event < HOOK_EVENTS && r == 0; event++) {
			const struct hook_config *hook = service_hook(&config->services[i], event);

			if (hook->command && hook->runs_as.other && (!gone || hook->runs_as.uid == HOOK_USER_GONE))
				r = add_line(ret, hook->user_at, words);
		}
	}
	if (r < 0)
		config_errors_free(ret);
	return r;
}
