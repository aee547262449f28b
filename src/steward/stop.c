/* The end in order: no new sessions, those that live have until the deadline, the rest is ended, every lease is released. */
#include "steward/steward.h"

#include "base/clock.h"
#include "steward/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <sysexits.h>
#include <syslog.h>

enum {
	PATIENCE_MS = 2000, /* beyond the longest linger_timeout, for ends to be made durable */
	CLOSE_MS = 5000,    /* for relays to close their listeners, once no session is left */
	LAST_MS = 3000,     /* after the last means: a reset that delivers nothing */
};

static uint64_t longest_linger_ms(const struct steward *s)
{
	uint64_t longest_ms = 0;

	for (size_t i = 0; s->config && i < s->config->service_count; i++)
		for (int side = 0; side < SIDES; side++)
			if (s->config->services[i].policy.side[side].linger_timeout_ms > longest_ms)
				longest_ms = s->config->services[i].policy.side[side].linger_timeout_ms;
	return longest_ms;
}

static void release(struct steward *s)
{
	uint64_t left = roster_live(&s->roster);

	if (left > 0)
		log_line(LOG_ERR, "%" PRIu64 " sessions do not end; their leases are released at the next start", left);
	s->phase = PHASE_RELEASING;
	leases_stop(s->leases);
}

void steward_stop(struct steward *s, uint64_t deadline_ms, const struct reason *reason)
{
	s->deadline_ms = deadline_ms;
	s->stop_reason = *reason;
	if (s->phase >= PHASE_STOPPING)
		return;
	if (s->change.state != CHANGE_NONE && s->change.cause == CAUSE_RELOAD) {
		report_add(&s->change.report, "%s: tcpwarden is being stopped", s->config_path);
		control_reloaded(s->control, false, &s->change.report);
		upstream_reloaded(&s->upstream, -ECANCELED, "reload: tcpwarden is being stopped");
	}
	log_line(LOG_NOTICE, "stopping: %" PRIu64 " sessions have until the deadline", roster_live(&s->roster));
	listeners_abort(s->listeners);
	if (!s->config)
		s->given_up = s->change.config;
	steward_drop_change(s);
	s->phase = PHASE_STOPPING;
	s->stopping_ms = clock_mono_ms();
	s->patience_ms = 0;
	listeners_stop(s->listeners);
	roster_drain(&s->roster);
	steward_stop_step(s);
}

void steward_stop_step(struct steward *s)
{
	uint64_t now_ms = clock_mono_ms();

	if (s->phase != PHASE_STOPPING || s->closing)
		return;
	roster_tick(&s->roster);
	if (s->orphaned_ms)
		roster_lose_dead(&s->roster);
	if (roster_quiet(&s->roster) || (now_ms >= s->stopping_ms + CLOSE_MS && roster_live(&s->roster) == 0)) {
		release(s);
		return;
	}
	if (now_ms < s->deadline_ms)
		return;
	if (s->patience_ms == 0) {
		log_line(LOG_NOTICE, "shutdown_timeout has passed: %" PRIu64 " sessions are ended", roster_live(&s->roster));
		roster_kill_all(&s->roster, false, &s->stop_reason);
		s->patience_ms = now_ms + longest_linger_ms(s) + PATIENCE_MS;
	} else if (now_ms >= s->patience_ms && !s->roster.kill_all.now) {
		roster_kill_all(&s->roster, true, &s->stop_reason);
		s->patience_ms = now_ms + LAST_MS;
	} else if (now_ms >= s->patience_ms) {
		release(s);
	}
}

void steward_on_stop(struct steward *s, uint64_t deadline_ms)
{
	static const struct reason shutdown = {.who = WHO_OPERATOR, .how = HOW_SHUTDOWN};

	switch (s->phase) {
	case PHASE_STARTING:
	case PHASE_RECOVERING:
		s->stop_due = true;
		s->deadline_ms = deadline_ms;
		s->stop_reason = shutdown;
		return;
	case PHASE_PREPARING:
	case PHASE_UP:
	case PHASE_STOPPING:
		steward_stop(s, deadline_ms, &shutdown);
		return;
	case PHASE_RELEASING:
		return;
	case PHASE_STOPPED:
		upstream_say(&s->upstream, MESSAGE_STOPPED);
		return;
	}
}

/* The tree has lost its head, and serves on, since another may take its place. */
void steward_on_orphaned(struct steward *s)
{
	if (s->closing || s->orphaned_ms)
		return;
	s->orphaned_ms = clock_mono_ms();
	if (s->phase == PHASE_STARTING)
		steward_end(s, EX_UNAVAILABLE); /* nothing was begun */
	else if (s->phase < PHASE_STOPPING)
		log_line(LOG_CRIT,
			"the supervisor is dead: should none take its place within orphan_timeout, the tree is ended in order");
}

void steward_orphan_step(struct steward *s)
{
	const struct config *config = s->config ? s->config : s->change.config;

	if (s->orphaned_ms && clock_mono_ms() >= s->orphaned_ms + (config ? config->settings.orphan_timeout_ms : 0))
		steward_end_orphaned(s, false);
}

void steward_end_orphaned(struct steward *s, bool asked)
{
	const struct reason reason = {.who = asked ? WHO_OPERATOR : WHO_SYSTEM, .how = HOW_SHUTDOWN};
	uint64_t now_ms = clock_mono_ms();

	if (s->phase == PHASE_STOPPING && s->deadline_ms > now_ms)
		s->deadline_ms = now_ms;
	if (s->closing || s->phase >= PHASE_STOPPING)
		return;
	if (s->phase == PHASE_STARTING) {
		steward_end(s, EX_UNAVAILABLE);
		return;
	}
	if (s->phase == PHASE_RECOVERING) {
		s->stop_due = true;
		s->deadline_ms = now_ms;
		s->stop_reason = reason;
		return;
	}
	log_line(LOG_CRIT, "without a supervisor: sessions are ended in order, leases released");
	steward_stop(s, now_ms, &reason);
}
