#include "relay/place.h"

#include "relay/cause.h"
#include "relay/kill_point.h"
#include "relay/tally.h"

#include <errno.h>

enum {
	RESERVE_PART = 16, /* of all slots */
	MOVED_MS = 1000,   /* so long whoever finds no place after a move is tried again, */
	AGAIN_MS = 20,     /* every so often */
};

static void go_on(struct slot *slot)
{
	if (!slot->policy.hooked) {
		slot_set_state(slot, SLOT_CONNECTING);
		return;
	}
	/* From here on the steward may hear of it, from us or from a successor: its end must be told there. */
	slot->told |= TOLD_ASKED;
	slot_set_state(slot, SLOT_ACQUIRING);
}

static void refuse(struct slot *slot, int error)
{
	cause_note(slot, WHO_POLICY, HOW_LIMIT, OPERATION_ACCEPT, error == -EUSERS ? EUSERS : 0);
	slot->record.reason.state = SLOT_REFUSING; /* which it is in from here on */
	slot_set_state(slot, SLOT_REFUSING);
}

/* Those who wait leave room for clients of other services. */
static bool may_wait(const struct relay *relay)
{
	return relay->vacancies.live + relay->sessions_max / RESERVE_PART < relay->sessions_max;
}

/* A session that goes from relay to relay counts twice for a moment, longer if its giver is slow (give.h): what is full then may
 * have room. */
static bool may_find_room(const struct relay *relay, const struct slot *slot)
{
	return relay->now_ms < atomic_load(&relay->census->moved_ms) + MOVED_MS &&
	       relay->now_ms < slot->record.started_ms + MOVED_MS && may_wait(relay);
}

static void try_later(struct relay *relay, struct session *session)
{
	session->tries = true;
	wheel_set(&relay->wheel, &session->due, relay->now_ms + AGAIN_MS);
}

void place_begin(struct relay *relay, struct session *session, const struct plan_service *service)
{
	struct slot *slot = session_slot(relay, session);
	int r = tally_enter(relay, session, service);

	if (r == 0) {
		go_on(slot);
	} else if (service->on_limit == ON_LIMIT_RECLAIM && may_wait(relay)) {
		slot->full = (int16_t)-r;
		slot_set_state(slot, SLOT_WAITING);
	} else if (may_find_room(relay, slot)) {
		slot->full = (int16_t)-r;
		slot_set_state(slot, SLOT_WAITING);
		try_later(relay, session);
	} else {
		refuse(slot, r);
	}
}

void place_try_again(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct plan_service *service = plan_service_by_id(&relay->plan, slot->record.service_id);
	int r;

	if (slot_state(slot) != SLOT_WAITING)
		return;
	r = service ? tally_enter(relay, session, service) : -EDQUOT;
	kill_point();
	if (r < 0 && service && may_find_room(relay, slot)) {
		try_later(relay, session);
		return;
	}
	if (r == 0)
		go_on(slot);
	else
		refuse(slot, r);
	kill_point();
	session_run(relay, session);
}

void place_adopt(struct slot *slot)
{
	/* Who was to refuse it died before the state said so. */
	if (slot_state(slot) == SLOT_WAITING && slot->record.reason.how == HOW_LIMIT)
		slot_set_state(slot, SLOT_REFUSING);
}
