/* What a hook is told: the list of "NAME=VALUE" that is its environment. Nothing in it was sent by a client.
 * A value that its user owns: init, fill, hand list to execve(2), fini. Running out of memory is kept in it and told by the end.
 */
#ifndef STEWARD_HOOK_ENVIRONMENT_H
#define STEWARD_HOOK_ENVIRONMENT_H
#include "steward/config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOOK_ENVIRONMENT_OURS "TCPWARDEN_" /* what all names of ours begin with */

struct hook_environment {
	char **list; /* NULL-terminated once something is in it */
	size_t count, capacity;
	bool failed; /* out of memory: not to be used */
};

/* What a lease says to its hooks. */
struct hook_facts {
	enum hook_event event;
	uint64_t fence;
	const struct session_record *session; /* acquire: as accepted; later: as it stands; release: as ended */
	char *const *environment;             /* the hook's own, NULL-terminated or NULL */
	char *const *variables;               /* "KEY=VALUE" that acquire printed, NULL-terminated or NULL */
	uint32_t attempt;                     /* from 1 */
	bool recovered;                       /* nobody told of the end */
	bool unknown;                         /* whether acquire took it */
};

void hook_environment_init(struct hook_environment *environment);
void hook_environment_fini(struct hook_environment *environment);

/* Replaces what bears that name. */
void hook_environment_set(struct hook_environment *environment, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The two parts of it: PATH and LANG of ours and the hook's own, which a helper has; TCPWARDEN_*, which it is told event by
 * event. */
void hook_environment_begin(struct hook_environment *environment, char *const *own);
void hook_environment_tell(struct hook_environment *environment, const struct hook_facts *facts);

/* All that design and manual promise, no more: PATH and LANG of ours, the hook's own, then TCPWARDEN_*. */
void hook_environment_fill(struct hook_environment *environment, const struct hook_facts *facts);

#endif
