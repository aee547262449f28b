/* Who owns a session is told by the giver's slot alone, and the giver alone writes that. So there is nothing to agree on: the
 * taker first has all of it, listed in its own ledger, and does nothing; then the giver lets go, by one store; then the taker
 * begins it, as a successor begins what it adopts. Both read the other's ledger when they start, so any packet may be lost.
 *
 *   step                  giver's slot   taker's slot          owner   descriptors are in     to move on
 *   1 offered             LEAVING        free                  giver   giver, on the way      taker: lists them
 *   2 listed              LEAVING        ARRIVING              giver   both                   giver: lets go, or takes back
 *   3 let go              GONE           ARRIVING              taker   both, then taker       taker: begins
 *   4 begun               GONE           RELAYING              taker   taker                  giver: frees it once the
 *                                                                                            steward knows
 *   5 freed               free           RELAYING and so on    taker   taker                  -
 *
 *   who dies           in 1                      in 2                         in 3                        in 4
 *   giver's relay      its next one finds LEAVING, and goes on with it;      its next one finds GONE,    as in 3
 *                      the taker sees that at GO, BACK or a heartbeat,       closes what is listed,
 *                      and drops its copies                                  and says GO again
 *   taker's relay      the giver takes back      its next one finds          its next one finds GONE     nothing
 *                      what no HAVE came for     ARRIVING, and waits         there, and begins
 *   giver's pair       the session is lost with it; the taker sees the       nothing: the steward        nothing
 *                      channel's end, and drops its copies                   finds GONE in its ledger
 *   taker's pair       the giver takes back      the giver takes back        the session is lost, as     as any session
 *                                                                            any of the taker's
 *   steward            nothing: a hooked session's slot stays GONE until the steward has it on disk whose the lease is now
 *   supervisor         nothing: it made the bridge, and its successor finds both ends in the ledgers
 *
 * A session rests from 1 until the taker has begun it: two turns of each side. If the taker hangs the giver takes it back. The
 * bytes in its pipes go along in the pipes. The census has it in the giver's row until it has it in the taker's, too (step 4): so
 * it counts twice for a moment, and never not at all. Its id, and so its lease and its line in the log, are the same all the way.
 *
 * A pipe must never be taken for an idle one by either side while the other may use it: the taker lists it only once its slot
 * names it, and both close what they have of it before their slot does not name it any more. */
#include "relay/give.h"

#include "relay/adopt.h"
#include "relay/arrive.h"
#include "relay/gone.h"
#include "relay/kill_point.h"
#include "relay/own.h"
#include "relay/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	OFFERS_A_TURN = 4,
	SLOTS_A_TURN = 1024,
	TAKE_BACK_MS = 1000, /* a taker that has not answered by then hangs, or its relay died with the offer */
	ASK_AGAIN_MS = 1000,
	AT_ONCE = 16,
};

struct giving {
	struct offered {
		uint32_t slot;
		uint64_t since_ms;
	} offered[AT_ONCE]; /* LEAVING */
	uint32_t count;
	uint32_t at;  /* the next slot to look at */
	bool resting; /* none was left to give; at the next heartbeat it is looked again */
};

int give_init(struct relay *relay)
{
	relay->giving = calloc(1, sizeof *relay->giving);
	return relay->giving ? 0 : -ENOMEM;
}

static struct bridge *target(const struct relay *relay)
{
	uint32_t to = atomic_load_explicit(&relay->header->gives_to, memory_order_relaxed);

	return to ? relay->bridges[(to - 1) % LEDGER_RELAYS] : NULL;
}

static void forget_offer(struct relay *relay, const struct session *session)
{
	struct giving *g = relay->giving;

	for (uint32_t i = 0; i < g->count; i++)
		if (g->offered[i].slot == session->index)
			g->offered[i--] = g->offered[--g->count];
}

void give_take_back(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct bridge *bridge = bridge_to(relay, slot->to.relay, slot->to.incarnation);
	struct bridge_packet packet = {.offer = slot->to.offer, .giver_slot = session->index};

	forget_offer(relay, session);
	slot_set_state(slot, SLOT_RELAYING);
	kill_point();
	if (bridge)
		bridge_say(bridge, BRIDGE_BACK, &packet, NULL, 0);
	adopt_moved(relay, session);
}

static bool may_go(const struct relay *relay, const struct slot *slot)
{
	return slot_state(slot) == SLOT_RELAYING && slot->record.reason.who == WHO_NONE &&
	       slot->side_end[SIDE_CLIENT] != SIDE_FAILED && slot->side_end[SIDE_BACKEND] != SIDE_FAILED &&
	       !(slot->told & (TOLD_PROBE | TOLD_TERMS)) && !relay->reclaims && arrive_is_over(relay, slot);
}

static int pack(struct relay *relay, const struct slot *slot, struct bridge_packet *packet, int fds[BRIDGE_FDS_MAX])
{
	int count = 0;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		fds[count++] = slot->fd[s];
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		const struct ledger_pipe *pipe = slot->pipe[s] < 0 ? NULL : &relay->header->pipes[slot->pipe[s]];

		if (!pipe)
			continue;
		packet->capacity[s] = pipe->capacity;
		fds[count++] = pipe->fd[0];
		fds[count++] = pipe->fd[1];
	}
	return count;
}

/* Between two turns' work, so it stands between two steps. False: the taker is behind. */
static bool offer(struct bridge *bridge, struct session *session)
{
	static struct bridge_packet packet;
	struct relay *relay = bridge->relay;
	struct giving *g = relay->giving;
	struct slot *slot = session_slot(relay, session);
	int fds[BRIDGE_FDS_MAX], count;

	slot->to =
		(struct slot_way){.offer = ++relay->header->offers, .relay = bridge->other, .incarnation = bridge->incarnation};
	wheel_remove(&relay->wheel, &session->due);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		epoll_ctl(relay->epoll, EPOLL_CTL_DEL, slot->fd[s], NULL);
	slot_set_state(slot, SLOT_LEAVING);
	kill_point();
	g->offered[g->count++] = (struct offered){session->index, relay->now_ms};
	memset(&packet, 0, sizeof packet);
	packet.offer = slot->to.offer;
	packet.giver_slot = session->index;
	packet.generation = relay->plan.header->generation;
	memcpy(&packet.slot, slot, sizeof *slot);
	count = pack(relay, slot, &packet, fds);
	if (bridge_say(bridge, BRIDGE_OFFER, &packet, fds, count) == 0) {
		kill_point();
		return true;
	}
	give_take_back(relay, session);
	return false;
}

bool give_is_due(const struct relay *relay)
{
	const struct bridge *bridge = target(relay);

	return bridge && bridge->ready && relay->plan.header && !relay->giving->resting && !relay->reviewing &&
	       relay->giving->count < AT_ONCE;
}

void give_turn(struct relay *relay)
{
	struct bridge *bridge = target(relay);
	uint32_t high = atomic_load(&relay->header->high_water);
	struct giving *g = relay->giving;

	if (!give_is_due(relay))
		return;
	for (int n = 0, looked = 0; n < OFFERS_A_TURN && looked < SLOTS_A_TURN && g->count < AT_ONCE; looked++) {
		struct session *session = &relay->sessions[g->at];

		if (g->at >= high) {
			g->at = 0;
			g->resting = true;
			return;
		}
		g->at++;
		if (!may_go(relay, session_slot(relay, session)) || !own_check(relay, session))
			continue;
		n++;
		if (!offer(bridge, session)) {
			g->resting = true;
			return;
		}
	}
}

static void ask(struct bridge *bridge)
{
	struct bridge_packet packet = {0};

	bridge->ask_ms = bridge->relay->now_ms + ASK_AGAIN_MS;
	bridge_say(bridge, BRIDGE_ASK, &packet, NULL, 0);
}

/* Answers say when it is. */
static void rest(struct bridge *bridge)
{
	bridge->ready = false;
	bridge->ask_ms = bridge->relay->now_ms + ASK_AGAIN_MS;
}

void give_begin(struct relay *relay)
{
	struct bridge *bridge = target(relay);

	relay->giving->at = 0;
	relay->giving->resting = false;
	if (bridge)
		ask(bridge);
}

void give_told(struct relay *relay, uint32_t to)
{
	if (to > LEDGER_RELAYS || atomic_load(&relay->header->gives_to) == to)
		return;
	atomic_store(&relay->header->gives_to, to);
	kill_point();
	give_begin(relay);
}

static void take_back_all(struct bridge *bridge)
{
	struct relay *relay = bridge->relay;
	struct giving *g = relay->giving;

	for (uint32_t i = g->count; i-- > 0;) {
		struct session *session = &relay->sessions[g->offered[i].slot];

		if (slot_state(session_slot(relay, session)) != SLOT_LEAVING)
			forget_offer(relay, session); /* its slot was damaged, and it has ended */
		else if (session_slot(relay, session)->to.relay == bridge->other)
			give_take_back(relay, session);
	}
}

void give_ready(struct bridge *bridge)
{
	/* From one that has just started: what was on the way to its predecessor may be nowhere. */
	take_back_all(bridge);
	bridge->ready = true;
}

void give_lost(struct bridge *bridge)
{
	bridge->ready = false;
	take_back_all(bridge);
}

struct session *give_known(struct bridge *bridge, const struct bridge_packet *packet, enum slot_state state)
{
	struct relay *relay = bridge->relay;
	const struct slot *slot = &relay->ledger.slots[packet->giver_slot % relay->ledger.slot_count];

	if (packet->giver_slot >= relay->ledger.slot_count || slot_state(slot) != state || slot->to.offer != packet->offer ||
		slot->to.relay != bridge->other || slot->to.incarnation != bridge->incarnation ||
		!own_check(relay, &relay->sessions[packet->giver_slot]))
		return NULL;
	return &relay->sessions[packet->giver_slot];
}

void give_had(struct bridge *bridge, const struct bridge_packet *packet)
{
	struct session *session = give_known(bridge, packet, SLOT_LEAVING);
	struct relay *relay = bridge->relay;

	if (!session) /* taken back meanwhile */
		return;
	forget_offer(relay, session);
	gone_begin(relay, session, packet->taker_slot);
}

void give_refused(struct bridge *bridge, const struct bridge_packet *packet)
{
	struct session *session = give_known(bridge, packet, SLOT_LEAVING);

	rest(bridge);
	if (session)
		give_take_back(bridge->relay, session);
}

void give_beat(struct relay *relay)
{
	struct giving *g = relay->giving;
	struct bridge *bridge = target(relay);

	g->resting = false;
	for (uint32_t i = g->count; i-- > 0;) {
		struct session *session = &relay->sessions[g->offered[i].slot];
		const struct slot *slot = session_slot(relay, session);

		if (relay->now_ms - g->offered[i].since_ms < TAKE_BACK_MS)
			continue;
		if (slot_state(slot) != SLOT_LEAVING) {
			forget_offer(relay, session);
			continue;
		}
		if (bridge_to(relay, slot->to.relay, slot->to.incarnation))
			rest(bridge_to(relay, slot->to.relay, slot->to.incarnation));
		give_take_back(relay, session);
	}
	if (bridge && !bridge->ready && relay->now_ms >= bridge->ask_ms)
		ask(bridge);
}
