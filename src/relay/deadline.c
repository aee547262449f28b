#include "relay/deadline.h"

#include "relay/cause.h"
#include "relay/ending.h"

#include <errno.h>
#include <sys/epoll.h>

enum {
	ADOPTED_LOOKS_MS = 1000, /* a successor looks at what it adopted spread over so long */
	MOVE_LOOKS = 4,          /* in idle_timeout, or half_close_timeout */
};

static uint64_t load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Whether anybody wants to know how its bytes fare. */
static bool is_watched(const struct policy *policy, enum side s)
{
	const struct side_policy *p = &policy->side[s];

	return p->dead_after_ms || p->stall_after_ms || policy->idle_timeout_ms || policy->half_close_timeout_ms;
}

static void set_no_later(struct relay *relay, struct session *session, uint64_t due_ms)
{
	if (!session->due.link || session->due.due_ms > due_ms)
		wheel_set(&relay->wheel, &session->due, due_ms);
}

static void store_progress(struct slot *slot, enum side s, const struct silence *silence)
{
	atomic_store_explicit(&slot->progress_ms[s], silence->outstanding_ms ? silence->progress_ms : 0, memory_order_relaxed);
}

/* What moves only from our socket to its peer is seen at a look. */
static void look_for_moves(struct silence *silence, const struct policy *p, uint64_t now_ms)
{
	if (p->idle_timeout_ms)
		silence->look_ms = earlier(silence->look_ms, now_ms + p->idle_timeout_ms / MOVE_LOOKS);
	if (p->half_close_timeout_ms)
		silence->look_ms = earlier(silence->look_ms, now_ms + p->half_close_timeout_ms / MOVE_LOOKS);
}

void deadline_given(struct relay *relay, struct session *session, enum side to)
{
	struct slot *slot = session_slot(relay, session);
	struct silence *silence = &session->silence[to];

	if (silence->outstanding_ms || !is_watched(&slot->policy, to))
		return;
	/* What it sent was a sign of life. */
	silence_begin(silence, &slot->policy.side[to], relay->now_ms, load(&slot->moved_ms[to]), relay->now_ms);
	if (!relay->rto_max_ms && slot->policy.side[to].ask_gap_ms)
		silence->look_ms = earlier(silence->look_ms, relay->now_ms + pace_every_ms(&slot->policy.side[to]));
	look_for_moves(silence, &slot->policy, relay->now_ms);
	store_progress(slot, to, silence);
	set_no_later(relay, session, silence->look_ms);
}

/* It is not known what is outstanding there: the first look tells. */
static void adopt_side(struct relay *relay, struct session *session, enum side s, uint64_t look_ms)
{
	struct slot *slot = session_slot(relay, session);
	struct silence *silence = &session->silence[s];
	uint64_t since_ms = load(&slot->progress_ms[s]);

	silence_begin(silence, &slot->policy.side[s], since_ms ? since_ms : relay->now_ms, 0, relay->now_ms);
	silence->look_ms = look_ms;
	if (!relay->rto_max_ms)
		pace_adopt(&silence->pace, &slot->policy.side[s]);
}

void deadline_adopt(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	uint64_t first_ms = relay->now_ms + session->index * 16 % ADOPTED_LOOKS_MS;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0 && is_watched(&slot->policy, s))
			adopt_side(relay, session, s, first_ms);
	set_no_later(relay, session, first_ms);
}

void deadline_rest(struct relay *relay, struct session *session)
{
	const struct slot *slot = session_slot(relay, session);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (session->silence[s].outstanding_ms && slot->fd[s] >= 0 && !relay->rto_max_ms)
			pace_end(&session->silence[s].pace, &slot->policy.side[s], slot->fd[s]);
}

bool deadline_renew(struct relay *relay, struct session *session, const struct policy *old)
{
	struct slot *slot = session_slot(relay, session);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		struct silence *silence = &session->silence[s];

		if (slot->fd[s] < 0)
			continue;
		if (!is_watched(&slot->policy, s)) {
			silence->outstanding_ms = 0;
			store_progress(slot, s, silence);
		} else if (!is_watched(old, s)) {
			*silence = (struct silence){0};
			adopt_side(relay, session, s, relay->now_ms);
			/* What is outstanding may be so since long ago, and so may the kernel's clock have run. */
			pace_begin(&silence->pace, slot->record.connected_ms);
			if (!relay->rto_max_ms)
				pace_adopt(&silence->pace, &slot->policy.side[s]);
		} else if (silence->outstanding_ms) {
			silence->look_ms = relay->now_ms;
			if (!relay->rto_max_ms)
				pace_adopt(&silence->pace, &slot->policy.side[s]);
		}
	}
	return deadline_look(relay, session);
}

bool deadline_peer_is_well(struct relay *relay, struct session *session, enum side s, enum operation operation)
{
	struct slot *slot = session_slot(relay, session);
	struct silence *silence = &session->silence[s];
	enum silence_verdict verdict =
		silence_look(silence, &slot->policy.side[s], slot->fd[s], !relay->rto_max_ms, relay->now_ms);

	look_for_moves(silence, &slot->policy, relay->now_ms);
	store_progress(slot, s, silence);
	switch (verdict) {
	case SILENCE_OVER:
	case SILENCE_WAITS:
		return true;
	case SILENCE_CLOSED: /* as an event would have said */
		session->events[s] |= EPOLLHUP;
		session_queue(relay, session);
		return true;
	case SILENCE_DEAD:
		cause_note(slot, cause_side(s), HOW_DEAD, operation, ETIMEDOUT);
		break;
	case SILENCE_STALLED:
		cause_note(slot, cause_side(s), HOW_STALLED, operation, 0);
		break;
	}
	ending_peer_failed(relay, session, s, operation, ETIMEDOUT);
	return false;
}

/* now: also those that are not to be looked at yet. */
static bool peers_are_well(struct relay *relay, struct session *session, bool now)
{
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		const struct silence *silence = &session->silence[s];

		if (silence->outstanding_ms && (now || relay->now_ms >= silence->look_ms) &&
			!deadline_peer_is_well(relay, session, s, OPERATION_SEND))
			return false;
	}
	return true;
}

/* When a byte last went on: from us, or out of a socket that holds much into a peer that takes it slowly. */
static uint64_t last_move_ms(const struct session *session, const struct slot *slot)
{
	uint64_t last_ms = slot->record.connected_ms;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		last_ms = later(last_ms, load(&slot->moved_ms[s]));
		last_ms = later(last_ms, session->silence[s].progress_ms);
	}
	return last_ms;
}

/* The earliest of the deadlines that no peer is asked about, UINT64_MAX: none; *reason: what it will be called. A tick late
 * rather than a moment early: what happens is stamped with the time at which the loop's turn began. */
static uint64_t policy_due_ms(const struct session *session, const struct slot *slot, struct reason *reason)
{
	const struct policy *p = &slot->policy;
	bool half_closed = (slot->flow[SIDE_CLIENT] == FLOW_SHUT) != (slot->flow[SIDE_BACKEND] == FLOW_SHUT);
	const struct {
		uint32_t after_ms;
		uint64_t since_ms;
		enum how how;
	} deadlines[] = {
		{p->lifetime_ms, slot->record.started_ms, HOW_LIFETIME},
		{half_closed ? p->half_close_timeout_ms : 0, last_move_ms(session, slot), HOW_HALF_CLOSE},
		{p->idle_timeout_ms, last_move_ms(session, slot), HOW_IDLE},
	};
	uint64_t due_ms = slot->drain_ms ? slot->drain_ms : UINT64_MAX;

	*reason = (struct reason){.who = slot->drain_who, .how = HOW_DRAINED};

	for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
		uint64_t at_ms = deadlines[i].since_ms + deadlines[i].after_ms + WHEEL_TICK_MS;

		if (!deadlines[i].after_ms || at_ms >= due_ms)
			continue;
		due_ms = at_ms;
		*reason = (struct reason){.who = WHO_POLICY, .how = (uint8_t)deadlines[i].how};
	}
	return due_ms;
}

bool deadline_look(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct reason reason;
	uint64_t due_ms;

	if (!peers_are_well(relay, session, false))
		return false;
	/* The last look may be long ago, and something may have been taken since. */
	if (relay->now_ms >= policy_due_ms(session, slot, &reason) && !peers_are_well(relay, session, true))
		return false;
	due_ms = policy_due_ms(session, slot, &reason);
	if (relay->now_ms >= due_ms) {
		session_end_by_us(relay, session, &reason, false);
		return false;
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (session->silence[s].outstanding_ms)
			due_ms = earlier(due_ms, session->silence[s].look_ms);
	if (due_ms != UINT64_MAX)
		wheel_set(&relay->wheel, &session->due, due_ms);
	return true;
}
