#include "relay/own.h"

#include "base/clock.h"
#include "relay/ending.h"
#include "wire/say.h"
#include "wire/slot_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/syslog.h>

enum { CHECKED_AT_ONCE = 2048 };

void own_take(struct session *session, const struct slot *slot)
{
	struct session_own *own = &session->own;

	own->id = slot->record.id;
	own->client = slot->record.client;
	memcpy(own->fd, slot->fd, sizeof own->fd);
	memcpy(own->pipe, slot->pipe, sizeof own->pipe);
	own->counted_service = slot->counted_service;
	own->counted_backend = slot->counted_backend;
	own->counted = slot->counted;
}

static bool has_sockets(const struct session_own *own)
{
	return own->fd[SIDE_CLIENT] >= 0 || own->fd[SIDE_BACKEND] >= 0;
}

static bool is_own(const struct session_own *own, const struct slot *slot)
{
	return slot->record.id == own->id && memcmp(slot->fd, own->fd, sizeof own->fd) == 0 &&
	       memcmp(slot->pipe, own->pipe, sizeof own->pipe) == 0 && slot->counted == own->counted &&
	       slot->counted_service == own->counted_service && slot->counted_backend == own->counted_backend;
}

static const char *wrong_with(const struct relay *relay, const struct session *session, const struct slot *slot, bool whole)
{
	enum slot_state state = slot_state(slot);

	if (!is_own(&session->own, slot))
		return "it has not its session's numbers";
	if (state == SLOT_FREE ||
		(has_sockets(&session->own) ? state == SLOT_RELEASING
					    : state != SLOT_RELEASING && state != SLOT_CLOSING && state != SLOT_GONE))
		return "its session is in another state";
	if (!whole)
		return NULL;
	if (memcmp(&slot->record.client, &session->own.client, sizeof slot->record.client) != 0)
		return "its session has another client";
	return slot_wrong(slot, relay->index, relay->now_ms);
}

/* As that of a session of which no more is known. That it had a lease does no harm to one that had none. */
static void make_anew(struct relay *relay, const struct session_own *own, struct slot *slot)
{
	const struct plan_service *service = relay->plan.header ? plan_service_by_id(&relay->plan, own->counted_service) : NULL;
	struct session_record *record = &slot->record;

	slot_write_begin(slot);
	memset((char *)slot + offsetof(struct slot, record), 0, sizeof *slot - offsetof(struct slot, record));
	record->id = own->id;
	record->started_us = clock_real_us();
	record->started_ms = relay->now_ms;
	record->client = own->client;
	record->service_id = own->counted_service;
	if (service)
		memcpy(record->service, service->name, sizeof record->service);
	else
		record->service[0] = '?';
	memcpy(slot->fd, own->fd, sizeof slot->fd);
	memcpy(slot->pipe, own->pipe, sizeof slot->pipe);
	slot->policy.hooked = 1;
	slot->given_base[SIDE_BACKEND] = 1;
	slot->counted = own->counted;
	slot->counted_service = own->counted_service;
	slot->counted_backend = own->counted_backend;
	slot->told = TOLD_ASKED | (has_sockets(own) ? 0 : TOLD_CONNECTED | TOLD_ENDED);
	slot_write_end(slot);
	slot_set_state(slot, SLOT_CLOSING);
}

/* It is no one's. The steward waits for each session that there seems to be. */
static void free_again(const struct relay *relay, const struct session *session, struct slot *slot)
{
	if (slot_state(slot) == SLOT_FREE || &relay->sessions[session->index] != session) /* never used by this process */
		return;
	say(LOG_CRIT, "slot %" PRIu32 " of the ledger cannot be right: it has no session; it is free", session->index);
	slot_set_state(slot, SLOT_FREE);
}

static bool check(struct relay *relay, struct session *session, bool whole)
{
	static const struct reason reason = {.who = WHO_SYSTEM, .how = HOW_FAILED, .error = EUCLEAN};
	struct slot *slot = session_slot(relay, session);
	const char *wrong;

	if (!session->own.id) {
		free_again(relay, session, slot);
		return true;
	}
	wrong = wrong_with(relay, session, slot, whole);
	if (!wrong)
		return true;
	say(LOG_CRIT,
		"slot %" PRIu32 " of the ledger cannot be right: %s; session %" PRIx64
		" ends (system.failed), others are not touched",
		session->index, wrong, session->own.id);
	make_anew(relay, &session->own, slot);
	ending_begin(relay, session, &reason, ENDING_NOW);
	return false;
}

bool own_check(struct relay *relay, struct session *session)
{
	return check(relay, session, true);
}

bool own_check_numbers(struct relay *relay, struct session *session)
{
	return check(relay, session, false);
}

static uint32_t slots_used(const struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	return high < relay->ledger.slot_count ? high : relay->ledger.slot_count;
}

static void check_slots(struct relay *relay, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		own_check(relay, &relay->sessions[i]);
}

void own_check_some(struct relay *relay)
{
	uint32_t high = slots_used(relay), first = relay->checked < high ? relay->checked : 0;

	relay->checked = high - first < CHECKED_AT_ONCE ? high : first + CHECKED_AT_ONCE;
	check_slots(relay, first, relay->checked);
}

void own_check_all(struct relay *relay)
{
	check_slots(relay, 0, slots_used(relay));
}
