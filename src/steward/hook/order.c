#include "steward/hook/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void string_list_free(char **list)
{
	for (char **entry = list; entry && *entry; entry++)
		free(*entry);
	free(list);
}

int string_list_copy(char ***ret, char *const *from)
{
	*ret = NULL;
	if (!from)
		return 0;
	size_t count = 0;
	while (from[count])
		count++;
	char **list = calloc(count + 1, sizeof *list);
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!(list[i] = strdup(from[i]))) {
			string_list_free(list);
			return -ENOMEM;
		}
	}
	*ret = list;
	return 0;
}

int hook_order_copy(struct hook_order *ret, const struct hook_config *from, const char *state_directory)
{
	*ret = (struct hook_order){.umask = from->umask, .timeout_ms = from->timeout_ms};
	if (!from->command)
		return 0;
	ret->directory = strdup(from->directory ? from->directory : state_directory);
	if (!ret->directory || string_list_copy(&ret->command, from->command) ||
		string_list_copy(&ret->environment, from->environment)) {
		hook_order_fini(ret);
		return -ENOMEM;
	}
	return 0;
}

void hook_order_fini(struct hook_order *order)
{
	string_list_free(order->command);
	string_list_free(order->environment);
	free(order->directory);
	*order = (struct hook_order){.umask = -1};
}
