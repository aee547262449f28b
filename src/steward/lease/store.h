/* The store: STATE/leases.db, where leases outlive everything else. SQLite, in WAL mode, synchronous=FULL, one process at a time.
 *
 * What a lease is to look like is left with store_write; all that was left while the last commit ran goes into the next one, on
 * libuv's pool. on_durable comes on the loop, after the commit. A commit that fails is told, and tried again until it succeeds;
 * until then nothing is called durable. A database that is damaged is set aside (leases.db.corrupt-TIME) and a new one begun.
 * Owner: struct leases. Ends by store_close, which lets a commit under way end first and then frees. */
#ifndef STEWARD_LEASE_STORE_H
#define STEWARD_LEASE_STORE_H
#include "steward/lease/history.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;

/* One row, a member of what it describes. Free what holds it only when store_idle says so. */
struct store_item {
	uint64_t fence;          /* the row's key; set once, before the first write */
	uint64_t asked, durable; /* count of writes asked for; the last of them that is on disk */
	/* private to store.c */
	char *record;
	struct ended *ended;
	bool queued, busy;
	struct store_item *next, *previous;
};

struct store_callbacks {
	void (*on_durable)(void *context, struct store_item *item); /* item->durable has grown */
	void (*on_lost)(void *context); /* a damaged database was set aside while we ran: write everything again */
};

/* Opens or makes it; waits a few seconds for a predecessor that is still dying. 0 or -errno and `error` (-EPROTO: made by a newer
 * version). */
int store_open(struct store **ret, uv_loop_t *loop, const char *state_directory, const struct store_callbacks *callbacks,
	void *context, char error[MESSAGE_TEXT_SIZE]);

/* Every row, before the first write. 0 or -errno. */
int store_load(struct store *store, void (*on_row)(void *context, uint64_t fence, const char *record), void *context);

/* After store_load: nothing was ever written to this database, so what sessions hold may be missing in it. */
bool store_is_new(const struct store *store);

/* Greater than any before it, in this database and by the clock. */
uint64_t store_next_fence(struct store *store);

/* The row shall be `record` (malloc(3)ed, taken), or shall not be (NULL). Replaces what was asked for and is not written yet. */
void store_write(struct store *store, struct store_item *item, char *record);

/* The row shall not be, and what it was goes into the history (taken; NULL: it does not). */
void store_remove(struct store *store, struct store_item *item, struct ended *ended);

/* A question to the history. Its asker's until on_done, which comes once, from the loop, and makes it the asker's again; an asker
 * that goes away sets on_done to NULL and lets the store free it. */
struct store_question {
	struct lease_query query;
	void (*on_done)(struct store_question *question);
	void *context;
	int error; /* 0 or -errno */
	char **texts;
	size_t count;
	struct store_question *next; /* private to store.c */
};
void store_ask(struct store *store, struct store_question *question); /* malloc(3)ed */
void store_question_free(struct store_question *question);

/* Takes back what is asked for and not under way. True: nothing of the item was ever written, or will be. */
bool store_withdraw(struct store *store, struct store_item *item);

bool store_idle(const struct store_item *item);
int store_error(const struct store *store); /* 0, or -errno: the last commit failed so and is being tried again */
void store_close(struct store *store);

#endif
