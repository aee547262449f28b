#include "steward/helper/helpers.h"

#include "steward/helper/helper.h"
#include "steward/log/log.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

static void on_written(struct book *book)
{
	struct helpers *helpers = (struct helpers *)((char *)book - offsetof(struct helpers, book));
	for (struct helper *helper = helpers->first; helper; helper = helper->next)
		helper_on_book(helper);
}

int helpers_init(
	struct helpers *helpers, uv_loop_t *loop, const char *state_directory, void (*on_quiet)(void *context), void *context)
{
	*helpers = (struct helpers){
		.loop = loop, .state_directory = state_directory, .on_quiet = on_quiet, .context = context, .open = 1};
	return book_init(&helpers->book, loop, state_directory, on_written);
}

static int add_leftover(void *context, const struct process_group *group)
{
	struct leftover_groups *leftover = context;
	if (!process_group_lives(group))
		return 0;
	log_line(LOG_NOTICE, "a helper of an earlier steward still runs (process group %d): it is ended", (int)group->pid);
	return leftover_groups_add(leftover, group);
}

int helpers_add_leftover(struct helpers *helpers, struct leftover_groups *leftover)
{
	return book_read(&helpers->book, add_leftover, leftover);
}

/* ---- which ---- */

static bool same_list(char *const *a, char *const *b)
{
	for (; a && b && *a && *b; a++, b++)
		if (strcmp(*a, *b))
			return false;
	return !(a && *a) && !(b && *b);
}

static bool is_of(const struct helper *helper, const struct hook_order *order, const char *service)
{
	return !strcmp(helper->service, service) && same_list(helper->order.command, order->command) &&
	       same_list(helper->order.environment, order->environment) && !strcmp(helper->order.directory, order->directory) &&
	       helper->order.umask == order->umask && hook_user_is(&helper->order.user, &order->user);
}

static bool is_named(const struct helper *helper, const struct hook_config *hook, const char *state_directory)
{
	return hook->command && hook->mode == HOOK_MODE_HELPER && same_list(helper->order.command, hook->command) &&
	       same_list(helper->order.environment, hook->environment) &&
	       !strcmp(helper->order.directory, hook_directory(hook, state_directory)) && helper->order.umask == hook->umask &&
	       hook_user_is(&helper->order.user, &hook->runs_as);
}

static bool is_wanted(const struct helpers *helpers, const struct helper *helper)
{
	const struct service_config *service = helpers->config ? config_service(helpers->config, helper->service) : NULL;
	for (enum hook_event event = 0; service && event < HOOK_EVENTS; event++)
		if (is_named(helper, service_hook(service, event), helpers->state_directory))
			return true;
	return false;
}

void helpers_configure(struct helpers *helpers, const struct config *config)
{
	helpers->config = config;
	for (struct helper *helper = helpers->first, *next; helper; helper = next) {
		next = helper->next; /* it may be freed for that */
		helper_want(helper, is_wanted(helpers, helper));
	}
}

int helpers_call(struct helper_call **ret, struct helpers *helpers, const struct hook_order *order, const char *service,
	uint64_t fence, char *const *environment, const struct hook_callbacks *callbacks, void *context)
{
	if (helpers->stopping)
		return -ESHUTDOWN;
	struct helper *helper = helpers->first;
	while (helper && !is_of(helper, order, service))
		helper = helper->next;
	if (!helper) {
		int r = helper_new(&helper, helpers, order, service);
		if (r)
			return r;
		helper->wanted = is_wanted(helpers, helper);
		helper->next = helpers->first;
		helpers->first = helper;
		helpers->open++;
	}
	return call_new(ret, helper, environment, fence, order->timeout_ms, callbacks, context);
}

bool helpers_are_late(const struct helpers *helpers, uint64_t fence)
{
	const struct helper *helper = helpers->first;
	while (helper && !helper_is_late(helper, fence))
		helper = helper->next;
	return helper;
}

/* ---- the end ---- */

static bool is_quiet(const struct helpers *helpers)
{
	const struct helper *helper = helpers->first;
	while (helper && helper->state == HELPER_DOWN)
		helper = helper->next;
	return !helper;
}

bool helpers_stop(struct helpers *helpers)
{
	helpers->stopping = true;
	for (struct helper *helper = helpers->first; helper; helper = helper->next)
		helper_finish(helper);
	return is_quiet(helpers);
}

void helpers_down(struct helpers *helpers)
{
	if (helpers->stopping && is_quiet(helpers))
		helpers->on_quiet(helpers->context);
}

void helpers_forget(struct helper *helper)
{
	struct helper **at = &helper->set->first;
	while (*at != helper)
		at = &(*at)->next;
	*at = helper->next;
	helper_close(helper);
}

void helpers_freed(struct helpers *helpers)
{
	if (!--helpers->open)
		helpers->on_closed(helpers->context);
}

static void on_book_closed(struct book *book)
{
	helpers_freed((struct helpers *)((char *)book - offsetof(struct helpers, book)));
}

void helpers_close(struct helpers *helpers, void (*on_closed)(void *context))
{
	helpers->on_closed = on_closed;
	helpers->stopping = true;
	while (helpers->first)
		helpers_forget(helpers->first);
	book_close(&helpers->book, on_book_closed);
}
