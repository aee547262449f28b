/* The database of the store: the SQL, without loop or queue. Used by one thread at a time. */
#ifndef STEWARD_LEASE_DATABASE_H
#define STEWARD_LEASE_DATABASE_H
#include "steward/lease/history.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

/* An older one is brought up to ours when it is opened. */
enum { DATABASE_SCHEMA = 2, DATABASE_OLDEST = 1, DATABASE_TEXT = 192 };

struct database {
	char path[PATH_MAX];
	struct sqlite3 *handle; /* NULL: closed */
	struct sqlite3_stmt *put, *remove, *fence;
	struct history history;
	bool set_aside;           /* a damaged one was; sticks until the user clears it */
	char text[DATABASE_TEXT]; /* what went wrong last, for people */
};

struct database_row {
	uint64_t fence;
	const char *record;        /* NULL: there shall be none */
	const struct ended *ended; /* for the history, or NULL */
};

/* path must be set. Makes it where there is none; sets a damaged one aside. 0 or -errno and text. */
int database_open(struct database *database);
void database_close(struct database *database);

/* All rows in one transaction, durable when this returns 0; else none of them: -errno and text. Where they cannot be
 * written together, the history gives way to the leases. */
int database_commit(struct database *database, const struct database_row *rows, size_t count, uint64_t last_fence);

int database_load(struct database *database, uint64_t *ret_last_fence,
	void (*on_row)(void *context, uint64_t fence, const char *record), void *context);

/* As history_read; 0 or -errno. */
int database_history(struct database *database, const struct lease_query *query, char ***ret_texts, size_t *ret_count);

#endif
