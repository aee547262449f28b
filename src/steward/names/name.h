/* One address text of a backend, and what it stands for by the last good answer. Owner: the resolver (its list); it lives while a
 * config that is in force or being prepared has it, and until its lookup has returned, and ends by name_free. Known to this
 * folder only. */
#ifndef STEWARD_NAMES_NAME_H
#define STEWARD_NAMES_NAME_H
#include "steward/config/address.h"
#include "wire/plan.h"

#include <uv.h>

struct name {
	struct name *next;
	struct resolver *resolver;
	struct address address;
	struct plan_address *addresses;
	size_t count;
	uint64_t asked_ms;   /* when its last lookup began, of uv_now; 0: never */
	bool named;          /* needs a lookup; numeric addresses and unix paths do not */
	bool used, prepared; /* by the config in force; by the one that may follow */
	bool answered;       /* at least once, well or not */
	bool failing;        /* the last answer was a failure, and this was said */
	bool again;          /* to be looked up as soon as it may be */
	bool unread;         /* has changed since somebody read its addresses */
	bool looking;        /* `request` runs */
	uv_getaddrinfo_t request;
};

struct name *name_new(struct resolver *resolver, const struct address *address); /* NULL: no memory */
void name_free(struct name *name);

/* Whether its addresses can change at all. */
bool name_changes(const struct name *name);

/* An answer. Addresses that stay keep their places, new ones follow: which is tried first must not change with the order of an
 * answer. True: they have changed. count 0: it has been answered, and no more. */
bool name_take(struct name *name, const struct plan_address *found, size_t count);

/* An answer that is none; the last good one stays. Said once, until name_take. */
void name_fail(struct name *name, const char *why);

bool name_among(const struct plan_address *one, const struct plan_address *list, size_t count);

#endif
