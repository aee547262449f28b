/* The descriptors that systemd keeps for us while no process of ours does (sd_notify(3), FDSTORE=1): it hands them to the next
 * start of the service by their names. Told in order and without waiting; what systemd does not take now it is told later.
 *
 * Only where FDSTORE is set in the environment, as systemd does from version 254 on and our unit itself before that: whoever else
 * listens on NOTIFY_SOCKET would hold our lock in its queue. Member of the estate. */
#ifndef SUPERVISOR_STORE_H
#define SUPERVISOR_STORE_H
#include "supervisor/notify.h"

#include <stdbool.h>
#include <stdint.h>

enum { STORE_NAME_SIZE = 64 };

struct store_change {
	char name[STORE_NAME_SIZE];
	int fd; /* -1: to be removed */
};

struct store {
	struct notify *notify;        /* NULL: there is no store */
	struct store_change *changes; /* not told yet, oldest first */
	uint32_t count, capacity;
};

/* Reads FDSTORE and takes it out of the environment. */
void store_init(struct store *store, struct notify *notify);
void store_fini(struct store *store);

/* For an exec of ourselves: puts FDSTORE into the environment, or takes it out again. */
void store_export(const struct store *store, bool on);

/* The descriptor stays the caller's, and stays open until it is removed again. */
void store_add(struct store *store, const char *name, int fd);
void store_remove(struct store *store, const char *name);

/* Says what has not been said. True: all is said. */
bool store_push(struct store *store);

#endif
