/* Which slots are free: a bit for each that is not. The lowest is given away first, so that the ledger stays dense and its untouched
 * pages stay unallocated. It is made anew at each start, from the ledger. */
#ifndef RELAY_VACANCIES_H
#define RELAY_VACANCIES_H
#include <stdint.h>

struct vacancies {
	uint64_t *taken;
	uint32_t slot_count;
	uint32_t live; /* slots that are not free */
};

/* 0 or -ENOMEM. It lives until the process ends. */
int vacancies_init(struct vacancies *vacancies, uint32_t slot_count);

/* The lowest free slot, taken; -ENOSPC. */
int64_t vacancies_take(struct vacancies *vacancies);

/* That slot is in use (at adoption). */
void vacancies_mark(struct vacancies *vacancies, uint32_t slot);

void vacancies_give(struct vacancies *vacancies, uint32_t slot);

#endif
