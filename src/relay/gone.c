#include "relay/gone.h"

#include "relay/give.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/session.h"
#include "relay/tally.h"

#include <unistd.h>

void gone_let_go(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		int fd = session->own.fd[s], pipe = session->own.pipe[s];

		own_set_fd(session, slot, s, -1);
		if (fd >= 0) {
			kill_point();
			close(fd);
		}
		if (pipe < 0)
			continue;
		pipes_discard(&relay->pipes, pipe);
		kill_point();
		own_set_pipe(session, slot, s, -1);
	}
}

static void say_go(struct relay *relay, const struct session *session)
{
	const struct slot *slot = session_slot(relay, session);
	struct bridge *bridge = bridge_to(relay, slot->to.relay, slot->to.incarnation);
	struct bridge_packet packet = {.offer = slot->to.offer, .giver_slot = session->index, .taker_slot = slot->to.slot};

	if (bridge)
		bridge_say(bridge, BRIDGE_GO, &packet, NULL, 0);
}

static bool is_hooked(const struct slot *slot)
{
	return slot->told & TOLD_ASKED;
}

void gone_begin(struct relay *relay, struct session *session, uint32_t taker_slot)
{
	struct slot *slot = session_slot(relay, session);

	slot->to.slot = taker_slot;
	slot_set_state(slot, SLOT_GONE);
	kill_point();
	relay->gone++;
	session->begun_there = session->filed = false;
	gone_let_go(relay, session);
	kill_point();
	say_go(relay, session);
	if (is_hooked(slot))
		link_tell(relay, session, MESSAGE_MOVED);
}

void gone_adopt(struct relay *relay, struct session *session)
{
	relay->gone++;
	gone_let_go(relay, session);
}

static void free_when_settled(struct relay *relay, struct session *session)
{
	if (!session->begun_there || (is_hooked(session_slot(relay, session)) && !session->filed))
		return;
	relay->gone--;
	link_forget(relay, session);
	session_free(relay, session);
	kill_point();
}

static void begun_there(struct relay *relay, struct session *session)
{
	tally_leave(relay, session);
	session->begun_there = true;
	kill_point();
	free_when_settled(relay, session);
}

void gone_done(struct bridge *bridge, const struct bridge_packet *packet)
{
	struct session *session = give_known(bridge, packet, SLOT_GONE);

	if (session && !session->begun_there)
		begun_there(bridge->relay, session);
}

void gone_filed(struct relay *relay, struct session *session)
{
	session->filed = true;
	free_when_settled(relay, session);
}

void gone_end(struct relay *relay, struct session *session, const struct reason *reason, bool now)
{
	const struct slot *slot = session_slot(relay, session);
	struct bridge *bridge = bridge_to(relay, slot->to.relay, slot->to.incarnation);
	struct bridge_packet packet = {.offer = slot->to.offer,
		.giver_slot = session->index,
		.taker_slot = slot->to.slot,
		.now = now,
		.reason = *reason};

	if (bridge)
		bridge_say(bridge, BRIDGE_END, &packet, NULL, 0);
}

/* It was ARRIVING there when we let go of it. */
static bool is_begun(const struct bridge *bridge, const struct slot *slot)
{
	const struct slot *there = &bridge->ledger.slots[slot->to.slot % bridge->ledger.slot_count];

	return atomic_load_explicit(&there->state, memory_order_acquire) != SLOT_ARRIVING ||
	       there->from.offer != slot->to.offer || there->from.relay != bridge->relay->index;
}

/* GO or DONE may have been lost, and who was to say it may be gone. */
static void look_at_gone(struct relay *relay, struct session *session)
{
	const struct slot *slot = session_slot(relay, session);
	struct bridge *bridge = bridge_to(relay, slot->to.relay, slot->to.incarnation);

	if (session->begun_there)
		return;
	if (!bridge || is_begun(bridge, slot) || bridge_other_is_gone(bridge))
		begun_there(relay, session);
	else
		say_go(relay, session);
}

void gone_beat(struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	for (uint32_t i = 0; i < high && relay->gone; i++)
		if (slot_state(&relay->ledger.slots[i]) == SLOT_GONE)
			look_at_gone(relay, &relay->sessions[i]);
}
