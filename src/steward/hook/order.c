#include "steward/hook/order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

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

static int copy_rest(struct hook_order *order, char *const *command, char *const *environment, const char *directory,
	const struct hook_user *user)
{
	if (!command)
		return 0;
	order->directory = strdup(directory);
	if (order->directory && !string_list_copy(&order->command, command) &&
		!string_list_copy(&order->environment, environment) && !hook_user_copy(&order->user, user))
		return 0;
	hook_order_fini(order);
	return -ENOMEM;
}

const char *hook_directory(const struct hook_config *hook, const char *state_directory)
{
	if (hook->directory)
		return hook->directory;
	/* Another user may not enter the state directory. */
	return hook->runs_as.other ? "/" : state_directory;
}

int hook_order_copy(struct hook_order *ret, const struct hook_config *from, const char *state_directory)
{
	*ret = (struct hook_order){
		.umask = from->umask,
		.timeout_ms = from->timeout_ms,
		.every_ms = from->every_ms,
		.allow_on_error = from->allow_on_error,
		.helper = from->mode == HOOK_MODE_HELPER,
	};
	return copy_rest(ret, from->command, from->environment, hook_directory(from, state_directory), &from->runs_as);
}

int hook_order_again(struct hook_order *ret, const struct hook_order *from)
{
	*ret = *from;
	ret->command = ret->environment = NULL;
	ret->directory = NULL;
	ret->user = (struct hook_user){0};
	return copy_rest(ret, from->command, from->environment, from->directory, &from->user);
}

void hook_order_fini(struct hook_order *order)
{
	string_list_free(order->command);
	string_list_free(order->environment);
	free(order->directory);
	hook_user_fini(&order->user);
	*order = (struct hook_order){.umask = -1};
}

struct hook_program hook_order_program(const struct hook_order *order, char *const *environment)
{
	return (struct hook_program){
		.command = order->command,
		.environment = environment,
		.directory = order->directory,
		.user = &order->user,
		.umask = order->umask,
		.timeout_ms = order->timeout_ms,
	};
}

void hook_result_describe(char *text, size_t size, const struct hook_result *result, const struct hook_order *order)
{
	switch (result->outcome) {
	case HOOK_EXITED:
		snprintf(text, size, "exited with %d%s", result->value, result->value == EX_TEMPFAIL ? " (busy)" : "");
		break;
	case HOOK_SIGNALED:
		snprintf(text, size, "was killed by signal %d", result->value);
		break;
	case HOOK_TIMED_OUT:
		snprintf(text, size, "took longer than its timeout of %" PRIu32 " ms", order->timeout_ms);
		break;
	case HOOK_LOST:
		snprintf(text, size, "was lost with its helper");
		break;
	case HOOK_NOT_RUN:
		if (order->user.other)
			snprintf(text, size, "could not be run: %s: %s (as user %" PRIu32 ", in directory %s)", order->command[0],
				strerror(result->value), order->user.uid, order->directory);
		else
			snprintf(text, size, "could not be run: %s: %s (in directory %s)", order->command[0],
				strerror(result->value), order->directory);
		break;
	}
}
