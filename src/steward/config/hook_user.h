/* Who a hook runs as, in numbers: what its names stood for when its config was read, so that nothing that is changed there later,
 * and no config, changes it. A value; ends by hook_user_fini. */
#ifndef STEWARD_CONFIG_HOOK_USER_H
#define STEWARD_CONFIG_HOOK_USER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HOOK_USER_GROUPS_MAX = 64,
	HOOK_USER_TEXT = (HOOK_USER_GROUPS_MAX + 2) * 11 + 1,
};
#define HOOK_USER_GONE UINT32_MAX /* as a uid: its name stood for someone once, and does not now */

struct hook_user {
	bool other; /* than ourselves; what follows means nothing otherwise */
	uint32_t uid, gid;
	uint32_t *groups; /* the others that it is in */
	size_t group_count;
};

int hook_user_copy(struct hook_user *ret, const struct hook_user *from); /* 0 or -ENOMEM, *ret then being ourselves */
bool hook_user_is(const struct hook_user *a, const struct hook_user *b);
void hook_user_fini(struct hook_user *user);

/* "UID:GID:GROUP,GROUP", or "-": ourselves. */
void hook_user_format(const struct hook_user *user, char text[HOOK_USER_TEXT]);

#endif
