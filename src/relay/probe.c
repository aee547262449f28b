#include "relay/probe.h"

#include "relay/books.h"
#include "relay/own.h"
#include "relay/session.h"
#include "relay/socket.h"
#include "wire/liveness.h"

enum {
	PROBE_MS = 5000,  /* as long as the answer is waited for */
	COUNT_MOST = 127, /* include/net/tcp.h MAX_TCP_KEEPCNT */
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The count with which a peer that is asked in another rhythm is dead when it would have been by its policy: neither the
 * questions beyond it nor those that were asked before count against the peer, or in its favour. */
static uint32_t count_in(const struct side_policy *rhythm, const struct side_policy *policy, const struct books_asked *asked)
{
	uint64_t due_ms = liveness_idle_ms(policy), idle_ms = (uint64_t)policy->keepalive_idle_s * 1000;
	uint64_t silent_ms = asked->silent_ms, next_ms, left_ms, count;

	if (!due_ms)
		return COUNT_MOST;
	if (!asked->probes) /* silent for longer than that: by other questions than keepalive's */
		silent_ms = earlier(silent_ms, idle_ms);
	next_ms = later(silent_ms, (uint64_t)rhythm->keepalive_idle_s * 1000);
	left_ms = due_ms > next_ms ? due_ms - next_ms : 0;
	count = asked->probes + (left_ms + rhythm->keepalive_interval_s * 1000 - 1) / (rhythm->keepalive_interval_s * 1000);
	/* One question may have been lost. */
	return (uint32_t)earlier(later(count, earlier(policy->keepalive_count, LIVENESS_ASKS)), COUNT_MOST);
}

/* With it, the policy's or one left from pacing, the second question would end one that has been silent for longer:
 * net/ipv4/tcp_timer.c tcp_keepalive_timer. */
static void drop_user_timeout(const struct relay *relay, const struct slot *slot, enum side s)
{
	if (slot->policy.side[s].user_timeout_ms || !relay->rto_max_ms)
		socket_set_user_timeout(slot->fd[s], 0);
}

/* often: so often is it to be asked from now on; NULL: as its policy says. False: it has yet to answer, and the count is not
 * quite the policy's. */
static bool set(struct relay *relay, const struct session *session, enum side s, const struct side_policy *often)
{
	const struct slot *slot = session_slot(relay, session);
	struct side_policy policy = slot->policy.side[s], rhythm;
	struct books_asked asked;
	const char *option;

	if (slot->fd[s] < 0 || books_asked(slot->fd[s], &asked) < 0) /* not TCP */
		return true;
	liveness_spread(&policy, session->index);
	rhythm = often ? *often : policy;
	if (rhythm.keepalive_idle_s)
		rhythm.keepalive_count = count_in(&rhythm, &policy, &asked);
	if (often)
		drop_user_timeout(relay, slot, s);
	socket_set_keepalive(slot->fd[s], &rhythm, &option);
	if (!often && policy.user_timeout_ms)
		socket_set_user_timeout(slot->fd[s], policy.user_timeout_ms);
	return !asked.probes || !rhythm.keepalive_idle_s;
}

void probe_end(struct relay *relay, struct session *session)
{
	bool answered = true;

	session_slot(relay, session)->told |= TOLD_PROBE;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		answered &= set(relay, session, s, NULL);
	if (answered) {
		session_slot(relay, session)->told &= (uint8_t)~TOLD_PROBE;
		return;
	}
	session->asked_until_ms = relay->now_ms + PROBE_MS;
	relay->asking = true;
}

void probe_ask(struct relay *relay, struct session *session)
{
	static const struct side_policy often = {.keepalive_idle_s = 1, .keepalive_interval_s = 1};
	struct slot *slot = session_slot(relay, session);

	session->asked_until_ms = relay->now_ms + PROBE_MS;
	relay->asking = true;
	slot->told |= TOLD_PROBE;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		set(relay, session, s, &often);
}

void probe_press(struct relay *relay, struct session *session, bool first)
{
	static const struct side_policy hardest = {
		.keepalive_idle_s = 1, .keepalive_interval_s = 1, .keepalive_count = COUNT_MOST};
	struct slot *slot = session_slot(relay, session);
	int fd = slot->fd[SIDE_CLIENT];
	const char *option;

	session->asked_until_ms = relay->now_ms + PROBE_MS;
	relay->asking = true;
	slot->told |= TOLD_PROBE;
	if (!first) {
		socket_press(fd);
		return;
	}
	drop_user_timeout(relay, slot, SIDE_CLIENT);
	socket_set_keepalive(fd, &hardest, &option);
}

void probe_end_due(struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	if (!relay->asking)
		return;
	relay->asking = false;
	for (uint32_t i = 0; i < high; i++) {
		const struct slot *slot = &relay->ledger.slots[i];

		if (!own_check(relay, &relay->sessions[i]) || slot_state(slot) == SLOT_FREE || !(slot->told & TOLD_PROBE))
			continue;
		if (relay->now_ms < relay->sessions[i].asked_until_ms)
			relay->asking = true;
		else
			probe_end(relay, &relay->sessions[i]);
	}
}

void probe_adopt(struct relay *relay, struct session *session)
{
	if (session_slot(relay, session)->told & TOLD_PROBE)
		probe_end(relay, session);
}
