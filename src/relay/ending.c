#include "relay/ending.h"

#include "relay/cause.h"
#include "relay/flow.h"
#include "relay/kill_point.h"

#include <errno.h>
#include <sys/socket.h>

enum { REFUSAL_MS = 5000 };

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void enter(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct side_policy *p = slot->policy.side;

	slot->deadline_ms = relay->now_ms + larger(p[SIDE_CLIENT].linger_timeout_ms, p[SIDE_BACKEND].linger_timeout_ms);
	session->check_ms = WHEEL_TICK_MS;
	kill_point();
	slot_set_state(slot, SLOT_CLOSING);
	kill_point();
	/* Not from here: we may be in the middle of one of its flows. */
	session_queue(relay, session);
}

void ending_begin(struct relay *relay, struct session *session, const struct reason *reason, enum side_ending how)
{
	struct slot *slot = session_slot(relay, session);
	bool relaying = slot_state(slot) == SLOT_RELAYING;

	if (reason)
		cause_note(slot, reason->who, reason->how, reason->operation, reason->error);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		/* By itself, in order, and not to be waited for: that is what linger = "reset" means. */
		bool impatient = !reason && slot->policy.side[s].linger == LINGER_RESET;

		slot->ending[s] = (uint8_t)(impatient ? ENDING_NOW : how);
		if (!relaying || how == ENDING_NOW)
			flow_cut(relay, session, s);
		else if (slot->flow[s] == FLOW_OPEN)
			slot->flow[s] = FLOW_DRAINING;
	}
	if (!relaying)
		slot->ending[SIDE_BACKEND] = ENDING_NOW;
	enter(relay, session);
}

static bool was_reset(const struct slot *slot, enum side failed)
{
	return cause_of_error(slot->side_error[failed]) == HOW_RESET;
}

static enum side_ending after_failure(const struct slot *slot, enum side failed)
{
	/* A backend that ended its answer and then resets what still comes has answered in whole, and no reset may destroy that.
	 * A client that resets after its FIN is another matter: its backend must learn that no one listens any more. Should the
	 * end of the answer be found only later, ending_source_is_whole says so. */
	if (failed == SIDE_BACKEND && slot->flow[SIDE_BACKEND] == FLOW_SHUT && was_reset(slot, failed))
		return ENDING_DELIVER;
	switch ((enum end_mode)slot->policy.on_failure) {
	case END_RESET:
		return ENDING_RESET;
	case END_RESET_NOW:
		return ENDING_NOW;
	case END_CLOSE:
		return ENDING_DELIVER;
	}
	return ENDING_RESET;
}

void ending_source_is_whole(struct slot *slot, enum side from)
{
	if (from == SIDE_BACKEND && slot->side_end[from] == SIDE_FAILED && was_reset(slot, from) &&
		slot->ending[SIDE_CLIENT] == ENDING_RESET)
		slot->ending[SIDE_CLIENT] = ENDING_DELIVER;
}

void ending_peer_failed(struct relay *relay, struct session *session, enum side failed, enum operation operation, int error)
{
	struct slot *slot = session_slot(relay, session);
	enum side other = other_side(failed);
	enum slot_state state = slot_state(slot);

	/* EPIPE says that it takes no more; why, it may tell later. */
	if (slot->side_end[failed] != SIDE_FAILED || slot->side_error[failed] == EPIPE) {
		/* What adoption was told before is not told again. */
		if (slot->side_end[failed] != SIDE_FAILED && slot->side_error[failed])
			error = slot->side_error[failed];
		slot->side_error[failed] = error;
		slot->side_operation[failed] = (uint8_t)operation;
		slot->side_end[failed] = SIDE_FAILED;
		kill_point();
	}
	if (state == SLOT_CLOSING) {
		slot->ending[failed] = ENDING_NOW;
		flow_cut(relay, session, other);
		return;
	}
	cause_note(slot, cause_side(failed), cause_of_error(error), operation, error);
	slot->ending[failed] = ENDING_NOW;
	slot->ending[other] = (uint8_t)after_failure(slot, failed);
	flow_cut(relay, session, other);
	if (state != SLOT_RELAYING) {
		slot->ending[SIDE_BACKEND] = ENDING_NOW;
		flow_cut(relay, session, failed);
	} else if (slot->flow[failed] == FLOW_OPEN) {
		slot->flow[failed] = FLOW_DRAINING;
	}
	enter(relay, session);
}

/* Once, and whole: nothing else is in that socket. True: it still has to go through the flow. */
static bool say_why(struct relay *relay, struct session *session, const char *text, size_t length)
{
	struct slot *slot = session_slot(relay, session);
	int fd = slot->fd[SIDE_CLIENT];
	struct books books;

	if (books_read(fd, 0, &books) == 0) {
		if (books.given > 0) /* a predecessor said it */
			return false;
	} else if (flow_say(relay, session, SIDE_BACKEND, text, length) == 0) {
		return true;
	}
	send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return false;
}

void ending_refuse(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	const struct plan_service *service = plan_service_by_id(&relay->plan, slot->record.service_id);
	struct side_policy *p = &slot->policy.side[SIDE_CLIENT];
	bool flows = false;

	slot->ending[SIDE_CLIENT] = ENDING_NOW;
	if (service && service->reject_message.length) {
		flows = say_why(
			relay, session, relay->plan.text + service->reject_message.offset, service->reject_message.length);
		slot->ending[SIDE_CLIENT] = ENDING_DELIVER;
		if (p->linger_timeout_ms > REFUSAL_MS)
			p->linger_timeout_ms = REFUSAL_MS;
		slot->policy.side[SIDE_BACKEND].linger_timeout_ms = 0;
	}
	slot->ending[SIDE_BACKEND] = ENDING_NOW;
	flow_cut(relay, session, SIDE_CLIENT);
	if (flows)
		slot->flow[SIDE_BACKEND] = FLOW_DRAINING;
	else
		flow_cut(relay, session, SIDE_BACKEND);
	enter(relay, session);
}

void ending_now(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		slot->ending[s] = ENDING_NOW;
		flow_cut(relay, session, s);
	}
	session_queue(relay, session);
}
