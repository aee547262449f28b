/* The descriptor table that relay and holder share, as it is at one moment: which numbers are open, and which of them stand for
 * something. Whoever looks owns it, and ends it by table_fini. */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H
#include <stdbool.h>
#include <stdint.h>

struct relay;

enum {
	TABLE_OPEN = 1,
	TABLE_LISTED = 2, /* inherited, or the ledger lists it */
};

struct table {
	uint8_t *of;   /* by number */
	uint32_t size; /* no number at or above it is open */
};

/* 0 or -ENOMEM. */
int table_init(struct table *table, const struct relay *relay);

/* What is listed has changed. */
void table_list(struct table *table, const struct relay *relay);

void table_fini(struct table *table);

static inline bool table_is(const struct table *table, int fd, unsigned what)
{
	return fd >= 0 && (uint32_t)fd < table->size && (table->of[fd] & what) == what;
}

#endif
