#include "steward/lease/set.h"

#include "base/clock.h"
#include "steward/lease/ended.h"
#include "steward/log/log.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

void lease_set_phase(struct lease *lease, enum lease_phase phase)
{
	enum lease_phase from = lease->phase;
	lease->phase = phase;
	leases_phase_changed(lease->leases, from, phase);
}

void lease_move(struct lease *lease, enum lease_event event)
{
	enum lease_state to = life_next(lease->record.state, event);
	if (to == LEASE_STATES) {
		LEASE_LOG(lease, LOG_CRIT, "%s is no move of a lease that is %s: this is a defect of tcpwarden, please report it",
			life_event_word(event), life_state_word(lease->record.state));
		return;
	}
	struct lease_record *record = &lease->record;
	record->state = to;
	if (to == LEASE_UNKNOWN)
		record->unknown = true;
	bool held = to == LEASE_HELD || to == LEASE_UNKNOWN;
	uint64_t *when = held ? &record->acquired_us : &record->ended_us;
	if ((held || event == LEASE_EVENT_OVER || event == LEASE_EVENT_NOTHING_TO_GIVE) && !*when)
		*when = clock_real_us();
}

/* The row is on disk and says that this may happen. */
static void assert_due(const struct lease *lease, enum lease_effect effect)
{
	assert(store_idle(&lease->item) && life_permits(lease->record.state, effect));
}

/* Out of memory a steward ends at once: all that matters is in the store, and its successor finds it there. */
void *lease_must(void *memory)
{
	if (!memory) {
		log_line(LOG_CRIT, "out of memory");
		abort();
	}
	return memory;
}

void lease_save(struct lease *lease)
{
	store_write(lease->leases->store, &lease->item, lease_must(lease_record_encode(&lease->record)));
}

static void on_turn(struct hook_turn *turn)
{
	struct lease *lease = (struct lease *)((char *)turn - offsetof(struct lease, turn));
	if (lease->phase == PHASE_QUEUED)
		lease_acquire_turn(lease);
	else if (lease->held.stage == HELD_WAITING)
		lease_held_turn(lease);
	else
		lease_release_turn(lease);
}

void lease_init(struct lease *lease, struct leases *leases)
{
	lease->leases = leases;
	lease->phase = PHASE_LOADED;
	lease->turn.on_turn = on_turn;
	uv_timer_init(leases->loop, &lease->timer);
	lease->timer.data = lease;
}

static void on_closed(uv_handle_t *handle)
{
	struct lease *lease = handle->data;
	lease_forget_moves(lease);
	lease_record_fini(&lease->record);
	hook_order_fini(&lease->acquire);
	free(lease);
}

void lease_close(struct lease *lease)
{
	lease_close_hook(lease);
	uv_close((uv_handle_t *)&lease->timer, on_closed);
}

static void give(struct lease *lease, const struct message_verdict *verdict)
{
	if (lease->wanted)
		leases_owe_verdict(lease->leases, &lease->record.key, verdict);
	lease->wanted = false;
}

void lease_refuse(struct lease *lease, enum who who, enum how how, int error)
{
	struct message_verdict verdict = {
		.id = lease->record.key.id,
		.slot = lease->record.key.slot,
		.verdict = VERDICT_REFUSE,
		.reason = {.who = (uint8_t)who,
			.how = (uint8_t)how,
			.operation = OPERATION_ACCEPT,
			.state = SLOT_ACQUIRING,
			.error = error},
	};
	/* Until the session's own end is told, this is why. */
	if (!lease->record.ended)
		lease->record.session.reason = verdict.reason;
	lease->over = true;
	give(lease, &verdict);
}

static void go(struct lease *lease, uint64_t fence)
{
	struct message_verdict verdict = {
		.id = lease->record.key.id,
		.slot = lease->record.key.slot,
		.verdict = VERDICT_GO,
		.fence = fence,
		.route = lease->record.route,
	};
	give(lease, &verdict);
}

/* Nothing ran, or it said that it took nothing. */
void lease_go_without(struct lease *lease, enum who who, enum how how, int error)
{
	if (!lease->allow_on_error || lease->over) {
		lease_refuse(lease, who, how, error);
		return;
	}
	LEASE_LOG(lease, LOG_NOTICE, "goes on without a lease (on_error = \"allow\")");
	go(lease, 0);
	lease->over = true;
}

static void pay_end(struct lease *lease)
{
	if (lease->end_owed)
		leases_owe_durable(lease->leases, &lease->record.key);
	lease->end_owed = false;
}

void lease_unlink_predecessor(struct lease *lease)
{
	if (lease->predecessor)
		lease->predecessor->successor = NULL;
	lease->predecessor = NULL;
}

bool lease_is_given_back(const struct lease *lease)
{
	switch (lease->phase) {
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
		return lease->record.acquired_us != 0;
	case PHASE_LOADED:
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
	case PHASE_HELD:
	case PHASE_BACKOFF:
	case PHASE_GONE:
		break;
	}
	return false;
}

static void lease_gone(struct lease *lease)
{
	assert_due(lease, LEASE_EFFECT_FORGOTTEN);
	assert(!lease->hook && !lease->call);
	pay_end(lease);
	lease_pay_moves(lease);
	lease_unlink_predecessor(lease);
	const struct lease_callbacks *callbacks = lease->leases->callbacks;
	if (lease->record.acquired_us && callbacks->on_given_back)
		callbacks->on_given_back(lease->leases->context, lease->record.session.service);
	struct lease *successor = lease->successor;
	lease_set_phase(lease, PHASE_GONE);
	leases_forget(lease->leases, lease);
	uv_timer_stop(&lease->timer);
	uv_close((uv_handle_t *)&lease->timer, on_closed);
	if (successor) {
		successor->predecessor = NULL;
		lease_begin(successor);
	}
}

/* There is nothing to give back: its row goes, if it has one. */
void lease_leave(struct lease *lease, enum lease_event event)
{
	lease_move(lease, event);
	uv_timer_stop(&lease->timer);
	lease_drop_hook(lease);
	if (!lease->item.asked || store_withdraw(lease->leases->store, &lease->item)) {
		lease_gone(lease);
		return;
	}
	lease_set_phase(lease, PHASE_LEAVING);
	/* What was never held was nobody's. */
	bool held = event == LEASE_EVENT_RELEASED || event == LEASE_EVENT_NOTHING_TO_GIVE;
	store_remove(lease->leases->store, &lease->item, held ? lease_must(ended_new(&lease->record, clock_real_us())) : NULL);
}

static void become_held(struct lease *lease)
{
	uv_timer_stop(&lease->timer);
	if (lease->over) {
		lease_release(lease);
		return;
	}
	assert_due(lease, LEASE_EFFECT_SESSION_GOES_ON);
	lease_set_phase(lease, PHASE_HELD);
	go(lease, lease->item.fence);
	lease_held_next(lease);
}

void lease_answer_held(struct lease *lease)
{
	lease->wanted = true;
	go(lease, lease->item.fence);
}

void lease_hold(struct lease *lease, bool changed)
{
	lease_set_phase(lease, PHASE_HELD);
	changed = lease_held_cut_off(lease) || changed;
	if (changed || lease->record.hook.pid) {
		lease->record.hook = (struct process_group){0};
		lease_save(lease);
	}
	lease_held_next(lease);
}

/* The addresses came from the socket when it was accepted; what a ledger says of them is but a claim. */
static void note_end(struct lease *lease, const struct session_record *record, bool recovered)
{
	struct session_record ended = *record;
	ended.client = lease->record.session.client;
	ended.local = lease->record.session.local;
	memcpy(ended.service, lease->record.session.service, sizeof ended.service);
	lease->record.session = ended;
	lease->record.ended = true;
	lease->record.ended_us = clock_real_us();
	lease->record.recovered = recovered;
}

void lease_end(struct lease *lease, const struct session_record *record, bool recovered)
{
	lease->wanted = false;
	lease->end_owed = true;
	bool first = !lease->record.ended;
	switch (lease->phase) {
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
		lease->over = true;
		pay_end(lease); /* nothing ran */
		lease_leave(lease, LEASE_EVENT_WITHDRAWN);
		return;
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
	case PHASE_HELD:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_BACKOFF:
		break;
	case PHASE_LOADED:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
	case PHASE_GONE:
		pay_end(lease); /* its release is under way, and its row says so */
		return;
	}
	lease->over = true;
	if (first) {
		note_end(lease, record, recovered);
		if (lease->phase == PHASE_HELD)
			lease_set_phase(lease, PHASE_ENDING);
		lease_save(lease);
	} else if (store_idle(&lease->item)) {
		pay_end(lease);
	}
}

void lease_on_durable(struct lease *lease)
{
	if (!store_idle(&lease->item))
		return; /* something newer is on its way */
	pay_end(lease);
	lease_pay_moves(lease);
	switch (lease->phase) {
	case PHASE_OPENING:
		if (!lease->hook && !lease->call) {
			become_held(lease);
		} else {
			uv_timer_stop(&lease->timer);
			assert_due(lease, LEASE_EFFECT_ACQUIRE_RUNS);
			lease_set_phase(lease, PHASE_ACQUIRING);
			lease_open_hook(lease);
		}
		break;
	case PHASE_CONFIRMING:
		become_held(lease);
		break;
	case PHASE_HELD:
		assert_due(lease, LEASE_EFFECT_SESSION_GOES_ON);
		lease_held_durable(lease);
		break;
	case PHASE_ENDING:
		if (lease_held_is_over(lease))
			lease_release(lease);
		break;
	case PHASE_STARTING:
		assert_due(lease, LEASE_EFFECT_RELEASE_RUNS);
		lease_set_phase(lease, PHASE_RELEASING);
		lease_open_hook(lease);
		break;
	case PHASE_LEAVING:
		lease_gone(lease);
		break;
	case PHASE_LOADED:
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_ACQUIRING:
	case PHASE_TURN:
	case PHASE_RELEASING:
	case PHASE_BACKOFF:
	case PHASE_GONE:
		break;
	}
}
