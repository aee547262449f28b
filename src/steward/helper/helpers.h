/* The helpers of a steward: one for each service, command, environment and place that it is run in. They are started when the
 * first event comes for them, and stay. A member of struct leases; ends by helpers_stop, and helpers_close. */
#ifndef STEWARD_HELPER_HELPERS_H
#define STEWARD_HELPER_HELPERS_H
#include "steward/helper/book.h"
#include "steward/hook/hook.h"
#include "steward/hook/leftover_groups.h"
#include "steward/hook/order.h"

struct helper;
struct helper_call;

struct helpers {
	uv_loop_t *loop;
	const char *state_directory;
	struct book book;
	const struct config *config;
	struct helper *first;
	bool stopping;
	int open; /* helpers not freed, and the book */
	void (*on_quiet)(void *context);
	void (*on_closed)(void *context);
	void *context;
};

/* state_directory is kept by reference. on_quiet: after helpers_stop returned false. 0 or -ENOMEM. */
int helpers_init(
	struct helpers *helpers, uv_loop_t *loop, const char *state_directory, void (*on_quiet)(void *context), void *context);

/* Those of an earlier steward that still live, added to what is to be ended. */
int helpers_add_leftover(struct helpers *helpers, struct leftover_groups *leftover);

/* Kept by reference until the next call. What it does not name any more ends when nothing has to do with it. */
void helpers_configure(struct helpers *helpers, const struct config *config);

/* An event for the helper that `order` names, of the lease with that fence; it is told once helper_call_open says so.
 * environment: what a hook in exec mode would have. 0 or -errno. */
int helpers_call(struct helper_call **ret, struct helpers *helpers, const struct hook_order *order, const char *service,
	uint64_t fence, char *const *environment, const struct hook_callbacks *callbacks, void *context);

/* Whether an answer for that lease is overdue, and may still come. */
bool helpers_are_late(const struct helpers *helpers, uint64_t fence);

/* No further events; each gets the end of its input, then SIGTERM, then SIGKILL. True: none runs any more. */
bool helpers_stop(struct helpers *helpers);

/* What still runs has its input closed. on_closed, once nothing here is used any more. */
void helpers_close(struct helpers *helpers, void (*on_closed)(void *context));

/* For helper.c. */
void helpers_down(struct helpers *helpers); /* one is */
void helpers_forget(struct helper *helper); /* out of the list, and closed */
void helpers_freed(struct helpers *helpers);

#endif
