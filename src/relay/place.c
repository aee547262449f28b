#include "relay/place.h"

#include "relay/cause.h"
#include "relay/kill_point.h"
#include "relay/tally.h"

#include <errno.h>

enum { RESERVE_PART = 16 }; /* of all slots */

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

void place_begin(struct relay *relay, struct session *session, const struct plan_service *service)
{
	struct slot *slot = session_slot(relay, session);
	int r = tally_enter(relay, session, service);

	if (r == 0) {
		go_on(slot);
	} else if (service->on_limit == ON_LIMIT_RECLAIM && may_wait(relay)) {
		slot->full = (int16_t)-r;
		slot_set_state(slot, SLOT_WAITING);
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
