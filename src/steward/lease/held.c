/* The middle of a lease's life: what runs while it is held. One hook at a time; release waits for it, so that nothing is renewed
 * after it was given back. */
#include "base/clock.h"
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

static void on_due(uv_timer_t *timer)
{
	lease_held_next(timer->data);
}

/* Until the next is due; 0: now. Real time, since it is kept over restarts; where that clock was set, at most a whole pause. */
static uint64_t renew_wait_ms(const struct lease *lease)
{
	const struct lease_record *record = &lease->record;
	uint64_t every_ms = record->renew.every_ms, now_us = clock_real_us();
	uint64_t since_us = record->renewed_us ? record->renewed_us : record->acquired_us;
	if (now_us < since_us)
		return every_ms;
	uint64_t passed_ms = (now_us - since_us) / 1000;
	return passed_ms < every_ms ? every_ms - passed_ms : 0;
}

static void want(struct lease *lease, enum hook_event event)
{
	lease->held.event = event;
	lease->held.stage = HELD_WAITING;
	struct hook_line *line = lease_must(leases_line(lease->leases, lease->record.session.service, event));
	if (hook_line_join(line, &lease->turn, HOOK_LINE_UNBOUNDED) > 0)
		lease_held_turn(lease);
}

void lease_held_next(struct lease *lease)
{
	if (lease->phase != PHASE_HELD || lease->held.stage != HELD_QUIET || lease->leases->stopping)
		return;
	/* A helper may still be at the last one, which timed out: one at a time. */
	if (helpers_are_late(&lease->leases->helpers, lease->item.fence)) {
		uv_timer_start(&lease->timer, on_due, LEASE_LATE_POLL_MS, 0);
		return;
	}
	if (lease->held.connected_due) {
		lease->held.connected_due = false;
		lease->record.was_connected = true;
		want(lease, HOOK_CONNECTED);
		return;
	}
	if (!lease->record.renew.command)
		return;
	uint64_t wait_ms = renew_wait_ms(lease);
	if (wait_ms)
		uv_timer_start(&lease->timer, on_due, wait_ms, 0);
	else
		want(lease, HOOK_RENEW);
}

static void failed(struct lease *lease, const char *text)
{
	const struct reason reason = {.who = WHO_HOOK, .how = HOW_FAILED};
	bool connected = lease->held.event == HOOK_CONNECTED;
	bool allow = connected ? lease->record.connected.allow_on_error : lease->record.renew.allow_on_error;
	LEASE_LOG(lease, LOG_ERR, "%s hook %s%s", hook_event_word(lease->held.event), text,
		allow || lease->phase != PHASE_HELD ? "" : ": its session is ended");
	if (!allow && lease->phase == PHASE_HELD)
		lease->leases->callbacks->on_end_session(lease->leases->context, &lease->record.key, &reason);
}

static void on_held_end(void *context, const struct hook_result *result)
{
	struct lease *lease = context;
	/* Killed at the gate by someone else it is a failure, too. */
	bool ran = lease->held.stage == HELD_RUNNING;
	uv_timer_stop(&lease->timer);
	lease->record.hook = (struct process_group){0};
	lease_drop_hook(lease);
	/* A helper is started anew for it, and only one that dies of it each time has failed. */
	if (result->outcome == HOOK_LOST && lease->phase == PHASE_HELD && !lease->leases->stopping &&
		++lease->losses < LEASE_LOSSES_MAX) {
		LEASE_LOG(lease, LOG_WARNING, "%s hook was lost with its helper; it runs again",
			hook_event_word(lease->held.event));
		want(lease, lease->held.event);
		return;
	}
	lease->losses = 0;
	lease->record.connecting = false;
	if (!ran || result->outcome != HOOK_EXITED || result->value) {
		char text[512];
		lease_describe(text, sizeof text, lease, lease->held.event, result);
		failed(lease, text);
	}
	lease->held.stage = HELD_QUIET;
	if (lease->phase == PHASE_HELD) {
		lease_save(lease); /* its process group is forgotten before the number can be another's */
		lease_held_next(lease);
	} else if (store_idle(&lease->item)) {
		lease_release(lease);
	}
}

/* What the ledger says now; the addresses are known already. */
static void note_bytes(struct lease *lease)
{
	struct slot slot;
	if (!lease->leases->lives(lease->leases->context, &lease->record.key, &slot))
		return;
	lease->record.session.backend = slot.record.backend;
	for (int side = 0; side < SIDES; side++)
		lease->record.session.bytes[side] = atomic_load(&slot.moved[side]);
}

/* What is not renewed may expire, so to wait for the disk for ever would leave the session without it. */
static void on_write_late(uv_timer_t *timer)
{
	struct lease *lease = timer->data;
	int error = store_error(lease->leases->store);
	char text[128];
	if (lease->phase != PHASE_HELD || lease->held.stage != HELD_STARTING)
		return;
	snprintf(text, sizeof text, "could not be written down in time: %s", error ? strerror(-error) : "the disk is slow");
	lease->record.hook = (struct process_group){0};
	lease->record.connecting = false;
	lease_drop_hook(lease);
	failed(lease, text);
	lease->held.stage = HELD_QUIET;
	lease_save(lease);
	lease_held_next(lease);
}

void lease_held_turn(struct lease *lease)
{
	static const struct hook_callbacks callbacks = {
		.on_line = lease_on_hook_line, .on_end = on_held_end, .on_stuck = lease_on_hook_stuck};
	if (lease->phase != PHASE_HELD) {
		hook_line_leave(&lease->turn);
		lease->held.stage = HELD_QUIET;
		return;
	}
	if (lease->held.event == HOOK_RENEW) {
		lease->record.renewed_us = clock_real_us();
		lease->record.renewals++;
	}
	note_bytes(lease);
	int r = lease_start_hook(lease, lease->held.event, &callbacks);
	if (!r) {
		bool renew = lease->held.event == HOOK_RENEW;
		lease->held.stage = HELD_STARTING;
		lease->record.connecting = !renew;
		lease_save(lease);
		/* A renewal is in time until the next is due. */
		uv_timer_start(&lease->timer, on_write_late,
			renew ? lease->record.renew.every_ms : lease->record.connected.timeout_ms, 0);
		return;
	}
	hook_line_leave(&lease->turn);
	failed(lease, strerror(-r));
	lease->held.stage = HELD_QUIET;
	lease_held_next(lease);
}

void lease_held_durable(struct lease *lease)
{
	if (lease->held.stage != HELD_STARTING)
		return;
	uv_timer_stop(&lease->timer);
	lease->held.stage = HELD_RUNNING;
	lease_open_hook(lease);
}

bool lease_held_cut_off(struct lease *lease)
{
	if (!lease->record.connecting)
		return false;
	lease->record.connecting = false;
	lease->held.event = HOOK_CONNECTED;
	failed(lease, "was cut off by the death of the steward");
	return true;
}

bool lease_held_is_over(struct lease *lease)
{
	if (lease->held.stage == HELD_RUNNING)
		return false;
	lease_drop_hook(lease); /* at the gate: nothing ran */
	lease->held.stage = HELD_QUIET;
	return true;
}

void lease_connected(struct lease *lease, const struct session_record *record)
{
	if (lease->phase != PHASE_HELD || !lease->record.connected.command || lease->record.was_connected)
		return;
	lease->record.session.backend = record->backend;
	lease->held.connected_due = true;
	lease_held_next(lease);
}
