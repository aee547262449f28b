#include "relay/arrive.h"

#include "relay/adopt.h"
#include "relay/gone.h"
#include "relay/kill_point.h"
#include "relay/own.h"
#include "relay/session.h"
#include "relay/tally.h"
#include "relay/verify.h"
#include "wire/say.h"
#include "wire/slot_check.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/syslog.h>
#include <unistd.h>

enum fate { FATE_OPEN, FATE_OURS, FATE_THEIRS };

/* Of that offer there. The number is never given twice, and does not change while it is LEAVING or GONE. */
static enum fate fate_of(const struct bridge *bridge, const struct slot_way *from, uint64_t id)
{
	const struct slot *there;
	unsigned state;

	if (from->slot >= bridge->ledger.slot_count)
		return FATE_THEIRS;
	there = &bridge->ledger.slots[from->slot];
	state = atomic_load_explicit(&there->state, memory_order_acquire);
	if (there->to.offer != from->offer || there->record.id != id || there->to.relay != bridge->relay->index ||
		(state != SLOT_LEAVING && state != SLOT_GONE))
		return FATE_THEIRS;
	if (state == SLOT_GONE)
		return FATE_OURS;
	return bridge_other_is_gone(bridge) ? FATE_THEIRS : FATE_OPEN;
}

static void drop(struct relay *relay, struct session *session)
{
	gone_let_go(relay, session);
	relay->arriving--;
	session_free(relay, session);
}

static void begin(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	relay->arriving--;
	slot_set_state(slot, SLOT_RELAYING);
	kill_point();
	tally_arrive(relay, session);
	kill_point();
	adopt_moved(relay, session);
	/* It was to be ended while it was on the way. */
	if (slot_state(slot) == SLOT_RELAYING && slot->record.reason.who != WHO_NONE) {
		struct reason reason = slot->record.reason;

		session_end_by_us(relay, session, &reason, slot->ending[SIDE_CLIENT] == ENDING_NOW);
	}
}

/* False: its fate is open. */
static bool settle(struct bridge *bridge, struct session *session)
{
	const struct slot *slot = session_slot(bridge->relay, session);

	switch (slot->from.whole ? fate_of(bridge, &slot->from, slot->record.id) : FATE_THEIRS) {
	case FATE_OPEN:
		return false;
	case FATE_OURS:
		begin(bridge->relay, session);
		break;
	case FATE_THEIRS:
		drop(bridge->relay, session);
		break;
	}
	return true;
}

void arrive_settle(struct bridge *bridge)
{
	struct relay *relay = bridge->relay;
	uint32_t high = atomic_load(&relay->header->high_water);

	for (uint32_t i = 0; i < high && relay->arriving; i++) {
		const struct slot *slot = &relay->ledger.slots[i];

		if (slot_state(slot) == SLOT_ARRIVING && slot->from.relay == bridge->other &&
			slot->from.incarnation == bridge->incarnation)
			settle(bridge, &relay->sessions[i]);
	}
}

void arrive_adopt(struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	for (uint32_t i = 0; i < high && relay->arriving; i++) {
		const struct slot *slot = &relay->ledger.slots[i];
		struct bridge *bridge;

		if (slot_state(slot) != SLOT_ARRIVING)
			continue;
		bridge = bridge_to(relay, slot->from.relay, slot->from.incarnation);
		if (bridge)
			settle(bridge, &relay->sessions[i]);
		else
			drop(relay, &relay->sessions[i]);
	}
}

/* It is reviewed here under a plan that knows what its giver's knew; and no round that asks holders misses it on its way. */
static bool is_welcome(const struct relay *relay, const struct bridge_packet *packet)
{
	return relay->plan.header && relay->plan.header->generation >= packet->generation && !relay->reclaims && !relay->retiring &&
	       !atomic_load(&relay->header->gives_to) && relay->vacancies.live < relay->sessions_max;
}

static struct session *list(struct bridge *bridge, const struct slot *offered)
{
	struct relay *relay = bridge->relay;
	int64_t index = vacancies_take(&relay->vacancies);
	struct session *session;
	struct slot *slot;

	if (index < 0)
		return NULL;
	session = &relay->sessions[index];
	session->index = (uint32_t)index;
	slot = session_slot(relay, session);
	slot_write_begin(slot);
	memcpy((char *)slot + offsetof(struct slot, record), (const char *)offered + offsetof(struct slot, record),
		sizeof *slot - offsetof(struct slot, record));
	slot_write_end(slot);
	session_renew(session);
	own_take(session, slot);
	if (index >= atomic_load_explicit(&relay->header->high_water, memory_order_relaxed))
		atomic_store_explicit(&relay->header->high_water, (uint32_t)index + 1, memory_order_release);
	relay->arriving++;
	relay->header->arrivals++;
	slot_set_state(slot, SLOT_ARRIVING);
	kill_point();
	return session;
}

/* The slot names each before it is listed: see give.c. What could not be placed is closed. */
static bool place(struct relay *relay, struct session *session, const struct bridge_packet *packet, const int *fds, int count)
{
	struct slot *slot = session_slot(relay, session);
	int at = 0;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && at < count; s++)
		own_set_fd(session, slot, s, fds[at++]);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		int entry = packet->slot.pipe[s] < 0 || at + 2 > count ? -1 : pipes_vacancy(&relay->pipes);
		struct ledger_pipe *pipe = &relay->header->pipes[entry < 0 ? 0 : entry];

		if (entry < 0)
			continue;
		own_set_pipe(session, slot, s, entry);
		kill_point();
		pipe->capacity = packet->capacity[s];
		pipe->fd[0] = fds[at++];
		pipe->fd[1] = fds[at++];
		kill_point();
	}
	for (int i = at; i < count; i++)
		close(fds[i]);
	return at == count && slot->fd[SIDE_BACKEND] >= 0 &&
	       (slot->pipe[SIDE_CLIENT] < 0) == (packet->slot.pipe[SIDE_CLIENT] < 0) &&
	       (slot->pipe[SIDE_BACKEND] < 0) == (packet->slot.pipe[SIDE_BACKEND] < 0);
}

/* NULL: there is no place for it. */
static struct session *take(struct bridge *bridge, struct bridge_packet *packet, const int *fds, int count)
{
	struct relay *relay = bridge->relay;
	struct slot offered = packet->slot, *slot;
	struct session *session;
	const char *wrong;

	offered.from = (struct slot_way){
		.offer = packet->offer, .relay = bridge->other, .incarnation = bridge->incarnation, .slot = packet->giver_slot};
	offered.to = (struct slot_way){0};
	for (int s = 0; s < SIDES; s++)
		offered.fd[s] = offered.pipe[s] = -1;
	wrong = slot_wrong(&offered, relay->index, relay->now_ms);
	session = wrong ? NULL : list(bridge, &offered);
	if (!session) {
		for (int i = 0; i < count; i++)
			close(fds[i]);
	} else {
		slot = session_slot(relay, session);
		wrong = place(relay, session, packet, fds, count) ? verify_descriptors(relay, slot) : NULL;
		if (!wrong && fate_of(bridge, &slot->from, slot->record.id) != FATE_THEIRS) {
			slot->from.whole = 1;
			kill_point();
			packet->taker_slot = session->index;
			return session;
		}
		drop(relay, session);
	}
	if (wrong)
		say(LOG_ERR, "session %" PRIx64 " of relay %u is not taken: %s", offered.record.id, bridge->other, wrong);
	return NULL;
}

void arrive_offered(struct bridge *bridge, struct bridge_packet *packet, const int *fds, int count)
{
	const struct slot_way from = {.offer = packet->offer, .slot = packet->giver_slot};
	bool taken_back = fate_of(bridge, &from, packet->slot.record.id) == FATE_THEIRS;

	if (!taken_back && is_welcome(bridge->relay, packet)) {
		bool has = take(bridge, packet, fds, count);

		bridge_say(bridge, has ? BRIDGE_HAVE : BRIDGE_NO, packet, NULL, 0);
		return;
	}
	for (int i = 0; i < count; i++)
		close(fds[i]);
	if (!taken_back)
		bridge_say(bridge, BRIDGE_NO, packet, NULL, 0);
}

static struct session *known(const struct bridge *bridge, const struct bridge_packet *packet)
{
	struct relay *relay = bridge->relay;
	const struct slot *slot = &relay->ledger.slots[packet->taker_slot % relay->ledger.slot_count];

	if (packet->taker_slot >= relay->ledger.slot_count || slot_state(slot) == SLOT_FREE ||
		slot->from.offer != packet->offer || slot->from.relay != bridge->other ||
		slot->from.incarnation != bridge->incarnation || !own_check(relay, &relay->sessions[packet->taker_slot]))
		return NULL;
	return &relay->sessions[packet->taker_slot];
}

void arrive_go(struct bridge *bridge, const struct bridge_packet *packet)
{
	struct session *session = known(bridge, packet);
	struct bridge_packet done = {.offer = packet->offer, .giver_slot = packet->giver_slot};

	/* What is not ARRIVING was begun earlier: the giver lets go only of what is listed here as whole. */
	if (session && slot_state(session_slot(bridge->relay, session)) == SLOT_ARRIVING && !settle(bridge, session))
		return;
	kill_point();
	bridge_say(bridge, BRIDGE_DONE, &done, NULL, 0);
}

void arrive_end(struct bridge *bridge, const struct bridge_packet *packet)
{
	struct session *session = known(bridge, packet);

	if (session)
		session_end_by_us(bridge->relay, session, &packet->reason, packet->now);
}

bool arrive_is_over(const struct relay *relay, const struct slot *slot)
{
	const struct bridge *bridge = slot->from.offer ? bridge_to(relay, slot->from.relay, slot->from.incarnation) : NULL;

	return !bridge || fate_of(bridge, &slot->from, slot->record.id) == FATE_THEIRS;
}
