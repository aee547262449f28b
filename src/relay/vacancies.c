#include "relay/vacancies.h"

#include <errno.h>
#include <stdlib.h>

int vacancies_init(struct vacancies *v, uint32_t slot_count)
{
	v->taken = calloc((slot_count + 63) / 64, sizeof *v->taken);
	v->slot_count = slot_count;
	v->live = 0;
	return v->taken ? 0 : -ENOMEM;
}

void vacancies_mark(struct vacancies *v, uint32_t slot)
{
	v->taken[slot / 64] |= (uint64_t)1 << slot % 64;
	v->live++;
}

int64_t vacancies_take(struct vacancies *v)
{
	uint32_t words = (v->slot_count + 63) / 64;

	for (uint32_t w = 0; w < words; w++) {
		uint32_t slot;

		if (v->taken[w] == UINT64_MAX)
			continue;
		slot = w * 64 + (uint32_t)__builtin_ctzll(~v->taken[w]);
		if (slot >= v->slot_count)
			break;
		vacancies_mark(v, slot);
		return slot;
	}
	return -ENOSPC;
}

void vacancies_give(struct vacancies *v, uint32_t slot)
{
	v->taken[slot / 64] &= ~((uint64_t)1 << slot % 64);
	v->live--;
}
