/* The history: which leases there were, who had them, and why they ended. A table beside that of the leases; a row is written in
 * the commit that removes the lease's own, and the oldest go in the same.
 *
 * The SQL of it, a part of the database (database.h) and used by the same thread. */
#ifndef STEWARD_LEASE_HISTORY_H
#define STEWARD_LEASE_HISTORY_H
#include "steward/lease/ended.h"

#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

enum {
	HISTORY_MAX = 10000, /* rows */
	HISTORY_DAYS = 30,
};

#define HISTORY_SCHEMA                                                                                                           \
	"CREATE TABLE ended (number INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, service TEXT NOT NULL, client TEXT NOT NULL, "  \
	"record TEXT NOT NULL);"

struct history {
	struct sqlite3 *handle;
	struct sqlite3_stmt *add, *prune_old, *prune_many;
};

/* These give a code of SQLite. */
int history_open(struct history *history, struct sqlite3 *handle);
void history_close(struct history *history);
int history_add(struct history *history, const struct ended *ended);
int history_prune(struct history *history, uint64_t now_us);

/* The newest first. *ret_texts: as many JSON objects as *ret_count says, each and the list to be freed. */
int history_read(struct history *history, const struct lease_query *query, char ***ret_texts, size_t *ret_count);

#endif
