/* A hook as it was ordered by the config that its session began under: copied, so that neither a reload nor a restart takes it
 * away. Owner: whoever copied it; ends by hook_order_fini. */
#ifndef STEWARD_HOOK_ORDER_H
#define STEWARD_HOOK_ORDER_H
#include "steward/config/config.h"
#include "steward/hook/hook.h"

struct hook_order {
	char **command;     /* NULL: there is no such hook */
	char **environment; /* its own, or NULL */
	char *directory;
	struct hook_user user;
	int umask; /* -1: as ours */
	uint32_t timeout_ms;
	uint32_t every_ms;   /* renew */
	bool allow_on_error; /* connected, renew: the session goes on when it fails */
	bool helper;         /* the command is a helper that is told of each event */
};

/* Where it runs. Borrowed of both. */
const char *hook_directory(const struct hook_config *hook, const char *state_directory);

/* 0 or -ENOMEM, *ret then being empty. */
int hook_order_copy(struct hook_order *ret, const struct hook_config *from, const char *state_directory);
int hook_order_again(struct hook_order *ret, const struct hook_order *from); /* of another */
void hook_order_fini(struct hook_order *order);

/* What is to be run by it; borrows both. */
struct hook_program hook_order_program(const struct hook_order *order, char *const *environment);

/* How it ended, for people. */
void hook_result_describe(char *text, size_t size, const struct hook_result *result, const struct hook_order *order);

/* NULL-terminated lists of strings. NULL stays NULL. */
int string_list_copy(char ***ret, char *const *from);
void string_list_free(char **list);

#endif
