#include "steward/config/hook_user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hook_user_copy(struct hook_user *ret, const struct hook_user *from)
{
	uint32_t *groups = NULL;

	*ret = (struct hook_user){0};
	if (from->group_count) {
		groups = malloc(from->group_count * sizeof *groups);
		if (!groups)
			return -ENOMEM;
		memcpy(groups, from->groups, from->group_count * sizeof *groups);
	}
	*ret = *from;
	ret->groups = groups;
	return 0;
}

bool hook_user_is(const struct hook_user *a, const struct hook_user *b)
{
	if (!a->other || !b->other)
		return a->other == b->other;
	return a->uid == b->uid && a->gid == b->gid && a->group_count == b->group_count &&
	       (!a->group_count || memcmp(a->groups, b->groups, a->group_count * sizeof *a->groups) == 0);
}

void hook_user_fini(struct hook_user *user)
{
	free(user->groups);
	*user = (struct hook_user){0};
}

void hook_user_format(const struct hook_user *user, char text[HOOK_USER_TEXT])
{
	size_t used;

	if (!user->other) {
		strcpy(text, "-");
		return;
	}
	used = (size_t)snprintf(text, HOOK_USER_TEXT, "%" PRIu32 ":%" PRIu32 ":", user->uid, user->gid);
	for (size_t i = 0; i < user->group_count && used < HOOK_USER_TEXT; i++)
		used += (size_t)snprintf(text + used, HOOK_USER_TEXT - used, "%s%" PRIu32, i ? "," : "", user->groups[i]);
}
