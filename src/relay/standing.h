/* Whether what a session stands on, its service and its backend, is in use by a plan. A pure function. */
#ifndef RELAY_STANDING_H
#define RELAY_STANDING_H
#include "wire/ledger.h"
#include "wire/plan.h"

enum standing {
	STANDING_GOOD,
	STANDING_SERVICE_REMOVED,
	STANDING_SERVICE_DRAINED,
	STANDING_BACKEND_GONE, /* removed, or its name has other addresses now */
	STANDING_BACKEND_DRAINED,
};

/* service: the one of that plan with the session's name, NULL: there is none. */
enum standing standing_of(const struct plan *plan, const struct plan_service *service, const struct slot *slot);

#endif
