#include "relay/tally.h"

#include "relay/kill_point.h"
#include "relay/session.h"

#include <errno.h>

static void set_counted(struct session *session, struct slot *slot, unsigned counted)
{
	slot->counted = session->own.counted = (uint8_t)counted;
}

void tally_adopt(struct relay *relay)
{
	static struct census_count count;
	uint32_t high = atomic_load(&relay->header->high_water);

	census_clients_recount(&relay->clients, relay->index);
	for (uint32_t i = 0; i < high; i++) {
		struct slot *slot = &relay->ledger.slots[i];

		if (slot_state(slot) == SLOT_FREE || slot_state(slot) == SLOT_ARRIVING)
			continue;
		if (slot_state(slot) == SLOT_WAITING) /* who had found room for it died before the state said so */
			set_counted(&relay->sessions[i], slot, 0);
		if (slot->counted & COUNTED_SERVICE)
			count.service[slot->counted_service]++;
		if (slot->counted & COUNTED_BACKEND)
			count.backend[slot->counted_backend]++;
		if (slot->counted & COUNTED_CLIENT)
			census_clients_add(&relay->clients, slot->counted_service, &slot->record.client);
	}
	census_set_row(relay->census, relay->index, &count);
	kill_point();
	census_clients_publish(&relay->clients);
	kill_point();
}

static void note(struct session *session, struct slot *slot, unsigned what)
{
	set_counted(session, slot, session->own.counted | what);
	kill_point();
}

static void leave_client(struct relay *relay, struct session *session, struct slot *slot)
{
	if (!(session->own.counted & COUNTED_CLIENT))
		return;
	census_clients_leave(&relay->clients, session->own.counted_service, &session->own.client);
	set_counted(session, slot, session->own.counted & ~(unsigned)COUNTED_CLIENT);
}

static int enter_once(struct relay *relay, struct session *session, struct slot *slot, const struct plan_service *service)
{
	int r;

	/* The client first: who has too many must not take, for that moment, a place of the service that another could have. */
	if (service->limit_per_client && session->own.client.family != AF_UNIX) {
		note(session, slot, COUNTED_CLIENT);
		r = census_clients_enter(&relay->clients, service->id, &session->own.client, service->limit_per_client);
		if (r < 0) {
			set_counted(session, slot, 0);
			return -EUSERS;
		}
	}
	note(session, slot, COUNTED_SERVICE);
	r = census_enter_service(relay->census, relay->index, service->id, service->limit_connections);
	if (r < 0) {
		set_counted(session, slot, session->own.counted & ~(unsigned)COUNTED_SERVICE);
		leave_client(relay, session, slot);
	}
	return r;
}

int tally_enter(struct relay *relay, struct session *session, const struct plan_service *service)
{
	struct slot *slot = session_slot(relay, session);

	set_counted(session, slot, 0);
	slot->counted_service = session->own.counted_service = service->id;
	/* Two that race for the last place may both be refused. */
	if (enter_once(relay, session, slot, service) == 0)
		return 0;
	return enter_once(relay, session, slot, service);
}

void tally_enter_backend(struct relay *relay, struct session *session, uint32_t id)
{
	struct slot *slot = session_slot(relay, session);

	slot->counted_backend = session->own.counted_backend = id;
	note(session, slot, COUNTED_BACKEND);
	census_enter_backend(relay->census, relay->index, id);
}

void tally_leave_backend(struct relay *relay, struct session *session)
{
	if (!(session->own.counted & COUNTED_BACKEND))
		return;
	census_leave_backend(relay->census, relay->index, session->own.counted_backend);
	set_counted(session, session_slot(relay, session), session->own.counted & ~(unsigned)COUNTED_BACKEND);
}

void tally_arrive(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct session_own *own = &session->own;

	atomic_store(&relay->census->moved_ms, relay->now_ms); /* before it counts twice */
	if (own->counted & COUNTED_SERVICE)
		census_enter_service(relay->census, relay->index, own->counted_service, 0);
	if (own->counted & COUNTED_BACKEND)
		census_enter_backend(relay->census, relay->index, own->counted_backend);
	if ((own->counted & COUNTED_CLIENT) &&
		census_clients_enter(&relay->clients, own->counted_service, &own->client, UINT32_MAX) < 0)
		set_counted(session, slot, own->counted & ~(unsigned)COUNTED_CLIENT);
}

void tally_leave(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	tally_leave_backend(relay, session);
	leave_client(relay, session, slot);
	if (!(session->own.counted & COUNTED_SERVICE))
		return;
	census_leave_service(relay->census, relay->index, session->own.counted_service);
	set_counted(session, slot, session->own.counted & ~(unsigned)COUNTED_SERVICE);
}
