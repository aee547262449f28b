/* The relay's pipes: pooled, listed in the ledger, capped, and held by a flow only while bytes are in them. The cap bounds descriptors and
 * the pages that pipe-user-pages-soft allows; a flow that gets none stays with PEEK and TRUNC, which needs none. */
#ifndef RELAY_PIPES_H
#define RELAY_PIPES_H
#include "wire/ledger.h"

struct pipes {
	struct ledger_header *header;
	int32_t idle[LEDGER_PIPES];  /* stack of listed pipes that no flow holds */
	int32_t empty[LEDGER_PIPES]; /* stack of entries without a pipe */
	uint32_t idle_count, empty_count;
	uint32_t cap;                /* pipes in all */
};

/* Takes what the ledger lists: a pipe that no slot holds becomes idle, or is closed if bytes are left in it. held[i]: a slot holds it. */
void pipes_start(struct pipes *pipes, struct ledger_header *header, uint32_t cap, const uint8_t held[LEDGER_PIPES]);

/* An empty pipe for a flow, as its index; -EAGAIN: none is left. The caller stores it in its slot before a byte goes in. */
int pipes_take(struct pipes *pipes);

/* An entry for a pipe that comes from elsewhere, as its index; -EAGAIN: none is left. The caller lists it there. */
int pipes_vacancy(struct pipes *pipes);

/* It is empty, and no slot names it any more. */
void pipes_give(struct pipes *pipes, int index);

/* It is closed with what is in it. No slot names it any more. */
void pipes_discard(struct pipes *pipes, int index);

/* Bytes in it. */
int pipes_queued(const struct pipes *pipes, int index);

#endif
