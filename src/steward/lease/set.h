/* The inside of struct leases: all leases, what they share, and what is owed to relays. Known to this folder only; leases.h says
 * whose it is. */
#ifndef STEWARD_LEASE_SET_H
#define STEWARD_LEASE_SET_H
#include "steward/helper/helpers.h"
#include "steward/hook/leftover_groups.h"
#include "steward/lease/answers.h"
#include "steward/lease/lease.h"
#include "steward/lease/service_lines.h"

enum { LEASE_BUCKETS = 1 << 14 };

struct leases {
	uv_loop_t *loop;
	const struct lease_callbacks *callbacks;
	void *context;
	uint64_t tree;
	char *state_directory;
	const struct config *config;
	struct store *store;
	struct lease *all;
	struct lease *bucket[LEASE_BUCKETS];
	uint32_t check_next; /* bucket that leases_check looks at next */
	struct service_lines lines;
	struct answers answers;
	uv_timer_t answer_timer;
	struct leftover_groups leftover;
	struct helpers helpers;
	bool (*lives)(void *context, const struct session_key *key, struct slot *ret);
	lease_each_live each_live;
	void (*on_recovered)(void *context);
	uint64_t busy; /* leases in a phase that moves on by itself */
	bool stopping, stopped_told;
	int handles;
};

/* A new lease of that session, in the lists; NULL: out of memory. The newest of it that there is; NULL: none. */
struct lease *leases_add(struct leases *leases, const struct session_key *key);
struct lease *leases_find(struct leases *leases, const struct session_key *key);
struct lease *leases_first_in_bucket(struct leases *leases, uint64_t id); /* of that session or another */
void leases_forget(struct leases *leases, struct lease *lease);           /* from the lists; its owner frees it */

/* What a lease says to the outside. */
void leases_owe_verdict(struct leases *leases, const struct session_key *key, const struct message_verdict *verdict);
void leases_owe_durable(struct leases *leases, const struct session_key *key);
void leases_phase_changed(struct leases *leases, enum lease_phase from, enum lease_phase to);

struct cooldown *leases_cooldown(struct leases *leases, const char *service);                     /* likewise */
struct hook_line *leases_line(struct leases *leases, const char *service, enum hook_event event); /* NULL: out of memory */

#endif
