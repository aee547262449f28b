/* Leases as people read them: those that there are, in order of their ids, and those that are gone, the newest first. */
#ifndef CTL_LEASES_H
#define CTL_LEASES_H
#include <jansson.h>
#include <stdbool.h>

/* One that came; all: those that came so far, an array that the caller owns. */
void leases_take(json_t *all, json_t *lease, bool history);
void leases_print(json_t *all, json_t *totals, bool history);

#endif
