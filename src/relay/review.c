#include "relay/review.h"

#include "relay/deadline.h"
#include "relay/ending.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/session.h"
#include "relay/standing.h"
#include "relay/terms.h"

enum { SESSIONS_A_TURN = 64, SLOTS_A_TURN = 4096 };

/* drain_timeout counts from when it was first found so; 0: it may go on. */
static void drain(struct relay *relay, struct slot *slot, enum who who)
{
	uint32_t timeout_ms = relay->plan.header->drain_timeout_ms;

	if (who == WHO_NONE || !timeout_ms)
		slot->drain_ms = 0;
	else if (!slot->drain_ms)
		slot->drain_ms = relay->now_ms + timeout_ms;
	slot->drain_who = (uint8_t)who;
	kill_point();
}

/* True: it was ended. */
static bool backend_is_gone(struct relay *relay, struct session *session)
{
	static const struct reason reason = {.who = WHO_POLICY, .how = HOW_DRAINED};
	struct slot *slot = session_slot(relay, session);

	switch ((enum backend_gone)slot->policy.on_backend_gone) {
	case BACKEND_GONE_KEEP:
		drain(relay, slot, WHO_NONE);
		return false;
	case BACKEND_GONE_DRAIN:
		drain(relay, slot, WHO_POLICY);
		return false;
	case BACKEND_GONE_CLOSE:
	case BACKEND_GONE_RESET:
		break;
	}
	if (slot_state(slot) != SLOT_RELAYING) /* it may yet get another; if not, it is looked at once it is connected */
		return false;
	ending_begin(relay, session, &reason, slot->policy.on_backend_gone == BACKEND_GONE_CLOSE ? ENDING_DELIVER : ENDING_RESET);
	return true;
}

void review_session(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct plan_header *plan = relay->plan.header;
	const struct plan_service *service = plan_service_by_name(&relay->plan, slot->record.service);
	uint64_t drain_ms = slot->drain_ms;

	if (plan->applied > slot->policy_generation) {
		/* Also one whose service is gone: should that come back, nobody will have asked for it then. */
		if (service)
			terms_apply(relay, session, &service->policy);
		slot->policy_generation = plan->generation;
		if (slot_state(slot) == SLOT_CLOSING)
			return;
	}
	switch (standing_of(&relay->plan, service, slot)) {
	case STANDING_GOOD:
		drain(relay, slot, WHO_NONE);
		break;
	case STANDING_SERVICE_REMOVED:
		drain(relay, slot, WHO_POLICY);
		break;
	case STANDING_SERVICE_DRAINED:
	case STANDING_BACKEND_DRAINED:
		drain(relay, slot, WHO_OPERATOR);
		break;
	case STANDING_BACKEND_GONE:
		if (backend_is_gone(relay, session))
			return;
		break;
	}
	if (slot->drain_ms != drain_ms && slot_state(slot) == SLOT_RELAYING)
		deadline_look(relay, session);
}

void review_begin(struct relay *relay)
{
	relay->reviewing = true;
	relay->reviewed = 0;
}

void review_go_on(struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water), end = relay->reviewed + SLOTS_A_TURN;

	for (int n = 0; n < SESSIONS_A_TURN && relay->reviewed < high && relay->reviewed < end;) {
		struct session *session = &relay->sessions[relay->reviewed++];

		if (!own_check(relay, session))
			continue;
		switch (slot_state(session_slot(relay, session))) {
		case SLOT_WAITING:
		case SLOT_ACQUIRING:
		case SLOT_CONNECTING:
		case SLOT_RELAYING:
			review_session(relay, session);
			n++;
			break;
		case SLOT_FREE:
		case SLOT_REFUSING:
		case SLOT_CLOSING: /* its end is known */
		case SLOT_RELEASING:
		case SLOT_LEAVING: /* by whoever has it next */
		case SLOT_GONE:
		case SLOT_ARRIVING:
		case SLOT_STATES:
			break;
		}
	}
	if (relay->reviewed < high)
		return;
	relay->reviewing = false;
	link_plan_taken(relay);
}
