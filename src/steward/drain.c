/* How an operator takes a service or a backend out of use and back: a change of what is in force, without another config. */
#include "steward/steward.h"

#include "steward/log/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static bool is_under_way(const struct steward *s)
{
	return s->order.due || (s->change.state != CHANGE_NONE && s->change.cause == CAUSE_DRAIN);
}

enum control_begun steward_drain(struct steward *s, bool drain, const char *what, char error[CONTROL_ERROR_SIZE])
{
	struct drain parsed;

	if (s->phase != PHASE_UP) {
		snprintf(error, CONTROL_ERROR_SIZE, "not now: tcpwarden is starting or being stopped");
		return CONTROL_REFUSED;
	}
	if (is_under_way(s)) {
		snprintf(error, CONTROL_ERROR_SIZE, "another drain or resume is under way");
		return CONTROL_REFUSED;
	}
	if (drain_parse(&parsed, what) < 0 || !drain_is_in(&parsed, s->config)) {
		snprintf(error, CONTROL_ERROR_SIZE,
			"there is no service and no backend \"%.200s\" (would be right: SERVICE, or SERVICE/BACKEND as "
			"`tcpwardenctl "
			"status` lists them)",
			what);
		return CONTROL_REFUSED;
	}
	s->order = (struct drain_order){.due = true, .drain = drain, .what = parsed};
	if (steward_drain_waits(s))
		steward_begin_drain(s);
	return CONTROL_BEGUN;
}

bool steward_drain_waits(const struct steward *s)
{
	return s->order.due && s->phase == PHASE_UP && s->change.state == CHANGE_NONE;
}

void steward_begin_drain(struct steward *s)
{
	struct change *c = &s->change;
	int r = drains_copy(&c->drains, &s->drains, s->config);

	s->order.due = false;
	if (r == 0)
		r = drains_set(&c->drains, &s->order.what, s->order.drain);
	if (r == 0 && !drain_is_in(&s->order.what, s->config))
		r = -ENOENT;
	if (r < 0)
		report_add(&c->report, "%s", r == -ENOENT ? "a reload took it away meanwhile" : strerror(-r));
	c->refused = r < 0;
	steward_change(s, CAUSE_DRAIN);
}

void steward_drained(struct steward *s, bool done)
{
	const struct drain_order *o = &s->order;

	if (done)
		log_line(LOG_NOTICE, "%s%s%s is %s by request of the control socket", o->what.service,
			o->what.backend[0] ? "/" : "", o->what.backend, o->drain ? "drained" : "resumed");
	control_drained(s->control, done, &s->change.report);
}
