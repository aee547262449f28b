/* Which numbers of services and backends (ids.h) something still refers to: a session in a ledger, a count in the census, or an
 * event that is yet to be taken. A snapshot, on its owner's storage; nothing to end. */
#ifndef STEWARD_NUMBER_USE_H
#define STEWARD_NUMBER_USE_H
#include "steward/listen/listeners.h"
#include "steward/plan/ids.h"
#include "wire/census.h"

#include <stdbool.h>

struct number_use {
	bool service[CENSUS_SERVICES], backend[CENSUS_BACKENDS];
};

/* 0, or -EAGAIN: a record is half written (its relay died in it), so that what it refers to cannot be told now; *ret has the
 * rest. */
int number_use_collect(struct number_use *ret, const struct ledger_view *view, const struct census *census);

/* For plan_ids_sweep; context: a struct number_use. */
bool number_use_has(void *context, enum plan_id_kind kind, uint32_t id);

#endif
