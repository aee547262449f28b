#include "relay/standing.h"

#include <string.h>

static bool has_address(const struct plan *plan, const struct plan_backend *backend, const struct endpoint *e)
{
	for (uint32_t i = 0; i < backend->address_count; i++) {
		struct endpoint known;

		endpoint_from_sockaddr(&known, &plan->addresses[backend->first_address + i].to);
		if (memcmp(&known, e, sizeof known) == 0)
			return true;
	}
	return false;
}

enum standing standing_of(const struct plan *plan, const struct plan_service *service, const struct slot *slot)
{
	const struct session_record *record = &slot->record;
	const struct plan_backend *backends;
	enum standing standing = STANDING_BACKEND_GONE;

	if (!service)
		return STANDING_SERVICE_REMOVED;
	if (service->drained)
		return STANDING_SERVICE_DRAINED;
	if (!record->backend_id) /* none yet, or where a hook sent it */
		return STANDING_GOOD;
	backends = &plan->backends[service->first_backend];
	for (uint32_t i = 0; i < service->backend_count; i++) {
		const struct plan_backend *b = &backends[i];

		if (b->id == record->backend_id && b->drained)
			return STANDING_BACKEND_DRAINED;
		/* A name of which nothing is known now may still be that address; a unix socket's endpoint does not say which. */
		if (b->id == record->backend_id && (!b->address_count || record->backend.family == AF_UNIX))
			return STANDING_GOOD;
		if (record->backend.family != AF_UNIX && has_address(plan, b, &record->backend))
			standing = STANDING_GOOD;
	}
	return standing;
}
