#include "relay/probe.h"

#include "relay/books.h"
#include "relay/session.h"
#include "relay/socket.h"
#include "wire/liveness.h"

#include <string.h>

enum { COUNT_MOST = 127 }; /* include/net/tcp.h MAX_TCP_KEEPCNT */

/* What was asked beyond the policy does not count against the peer. */
static void end_side(const struct slot *slot, uint32_t index, enum side s)
{
	struct side_policy policy = slot->policy.side[s];
	const char *option;
	int probes = slot->fd[s] < 0 ? -1 : books_probes(slot->fd[s]);

	if (probes < 0)
		return;
	liveness_spread(&policy, index);
	policy.keepalive_count += (uint32_t)probes;
	if (policy.keepalive_count > COUNT_MOST)
		policy.keepalive_count = COUNT_MOST;
	socket_set_keepalive(slot->fd[s], &policy, &option);
}

static void end(struct slot *slot, uint32_t index)
{
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		end_side(slot, index, s);
	slot->told &= (uint8_t)~TOLD_PROBE;
}

void probe_ask(struct relay *relay, struct session *session)
{
	static const struct side_policy often = {.keepalive_idle_s = 1, .keepalive_interval_s = 1, .keepalive_count = COUNT_MOST};
	struct probes *probes = &relay->probes;
	struct slot *slot = session_slot(relay, session);
	const char *option;

	if (probes->count == PROBES_MAX)
		return;
	probes->of[probes->count].slot = session->index;
	probes->of[probes->count].id = slot->record.id;
	probes->of[probes->count].until_ms = relay->now_ms + PROBE_MS;
	probes->count++;
	slot->told |= TOLD_PROBE;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0 && socket_family(slot->fd[s]) != AF_UNIX)
			socket_set_keepalive(slot->fd[s], &often, &option);
}

void probe_end_due(struct relay *relay)
{
	struct probes *probes = &relay->probes;
	uint32_t over = 0;

	while (over < probes->count && relay->now_ms >= probes->of[over].until_ms) {
		struct slot *slot = &relay->ledger.slots[probes->of[over].slot];

		if (slot_state(slot) != SLOT_FREE && slot->record.id == probes->of[over].id)
			end(slot, probes->of[over].slot);
		over++;
	}
	probes->count -= over;
	memmove(probes->of, probes->of + over, probes->count * sizeof *probes->of);
}

void probe_adopt(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	if (slot->told & TOLD_PROBE)
		end(slot, session->index);
}
