/* The addresses of backends: looked up on libuv's pool at start, at reload, every RESOLVER_PERIOD_MS, and when a relay found none
 * that serves. Numeric addresses and unix paths are answered at once. A lookup that fails changes nothing: the last good answer
 * stays.
 *
 * Owner: the steward's role. It ends with resolver_stop; a lookup that the pool already runs cannot be cancelled, so `on_stopped`
 * comes when the last has returned, and the memory goes then.
 *
 * A reload: resolver_prepare(new config) → on_ready → plan_build(new config) → resolver_use(new config), or, when the reload
 * failed, resolver_use(old config). In between the names of both are known. */
#ifndef STEWARD_NAMES_RESOLVER_H
#define STEWARD_NAMES_RESOLVER_H
#include "steward/config/address.h"
#include "wire/plan.h"

#include <uv.h>

enum {
	RESOLVER_PERIOD_MS = 30000,
	RESOLVER_AGAIN_MS = 1000,   /* a name is looked up at most this often, whoever asks */
	RESOLVER_PREPARE_MS = 5000, /* how long a start or reload waits for first answers */
	RESOLVER_ADDRESSES = 64,    /* of one name; more are left out, and said so */
};

struct resolver;

struct resolver_callbacks {
	void (*on_change)(void *context);  /* the addresses of a name in use differ from what they were: time for a new plan */
	void (*on_ready)(void *context);   /* once after each resolver_prepare, never from within it */
	void (*on_stopped)(void *context); /* the resolver is gone */
};

/* -ENOMEM or what libuv says. The callbacks are copied. */
int resolver_new(uv_loop_t *loop, const struct resolver_callbacks *callbacks, void *context, struct resolver **ret);

/* Starts looking up what the config names and the resolver does not know yet. on_ready comes when each name of it has been
 * answered (well or not) or after RESOLVER_PREPARE_MS. A second call takes the place of an earlier one. 0 or -ENOMEM (nothing was
 * started). */
int resolver_prepare(struct resolver *resolver, const struct config *config);

/* This config is in force: names that it does not have are forgotten. */
void resolver_use(struct resolver *resolver, const struct config *config);

/* Names that never had an answer. */
size_t resolver_pending(const struct resolver *resolver);

/* Its addresses, in an order that stays as it is while they do; NULL and 0: none (yet). Valid until the loop runs again. */
const struct plan_address *resolver_addresses(const struct resolver *resolver, const struct address *address, size_t *ret_count);

/* A relay says that they do not serve: look again, soon. The text is an address's; one that is not known is ignored. */
void resolver_again(struct resolver *resolver, const char *text);

void resolver_stop(struct resolver *resolver);

#endif
