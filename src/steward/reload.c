/* How a config comes into force, at start, after a predecessor, at a reload, or only with new addresses of the same names:
 *
 *   parse, check ─► names resolved ─► prepare_listen ─► more pairs ─► sockets bound ─► plan made ─┬─► relays take it ─► they open ─► accepted
 *                                    any failure up to here: nothing has changed, all of it is told ┘
 */
#include "steward/steward.h"

#include "steward/config/fixed.h"
#include "steward/config/warnings.h"
#include "steward/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

enum { SLOW_MS = 10000 };

void steward_drop_change(struct steward *s)
{
	steward_farewell_given_up(s);
	service_hooks_free(s->change.preparing);
	s->change.preparing = NULL;
	s->change.prepared = s->change.refused = s->change.grown = s->change.deferred = false;
	if (s->change.config && s->change.config != s->config && s->change.config != s->given_up)
		config_free(s->change.config);
	s->change.config = NULL;
	s->change.apply = false;
	drains_fini(&s->change.drains);
	s->change.state = CHANGE_NONE;
	report_fini(&s->change.report);
}

/* What was asked for is over, for better or worse: answers, and what waited for its turn. */
static void finish(struct steward *s, int error, const char *words)
{
	struct change *c = &s->change;
	char text[MESSAGE_TEXT_SIZE];
	bool again = c->again, apply = c->apply_again;

	if (c->cause == CAUSE_RELOAD) {
		if (error)
			snprintf(text, sizeof text, "reload failed: %.200s", c->report.count > 0 ? c->report.lines[0] : words);
		else
			snprintf(text, sizeof text, "%s", words);
		log_line(error ? LOG_ERR : LOG_NOTICE, "%s", error ? "reload failed: nothing has changed" : words);
		upstream_reloaded(&s->upstream, error, text);
		control_reloaded(s->control, error == 0, &c->report);
	}
	if (c->cause == CAUSE_DRAIN)
		steward_drained(s, error == 0);
	c->again = c->apply_again = false;
	steward_drop_change(s);
	if (again)
		steward_reload(s, apply);
}

static void fail(struct steward *s, int error)
{
	struct change *c = &s->change;
	enum change_cause cause = c->cause;

	report_log(&c->report, LOG_ERR);
	listeners_abort(s->listeners);
	if (c->grown || c->state == CHANGE_GROWING)
		upstream_workers(&s->upstream, 0);
	if (s->config)
		resolver_use(s->resolver, s->config);
	finish(s, error, "");
	/* What worked for a predecessor is kept going; what never worked is an operator's to put right. */
	if (cause == CAUSE_START)
		steward_end(s, EX_UNAVAILABLE);
}

static void add_to_report(void *report, const char *line)
{
	report_add(report, "%s", line);
}

/* What --check would have said of it. */
static void warn_unlikely(struct steward *s, const struct config *new)
{
	struct kernel kernel;

	kernel_read(&kernel, KERNEL_SYSCTLS);
	warnings_tell(&(struct warnings){new, &kernel, add_to_report, &s->change.report});
}

static void take_config(struct steward *s)
{
	struct change *c = &s->change;
	struct config *old = s->config;

	steward_farewell_removed(s);
	if (c->cause == CAUSE_RELOAD) {
		fixed_tell(s->config, c->config, add_to_report, &c->report);
		warn_unlikely(s, c->config);
	}
	s->config = c->config;
	leases_configure(s->leases, s->config);
	log_configure(s->config);
	resolver_use(s->resolver, s->config);
	if (old)
		config_free(old);
}

static bool brings_config(enum change_cause cause)
{
	return cause == CAUSE_START || cause == CAUSE_RELOAD;
}

/* Nothing was ever served, and it may come to nothing yet. */
static bool is_first(const struct steward *s)
{
	return s->change.cause == CAUSE_START && !s->resume;
}

/* From here on nothing can fail: what a relay does not do now, it does when it is told again. */
static void switch_over(struct steward *s, int plan_fd, uint32_t generation)
{
	struct change *c = &s->change;

	if (brings_config(c->cause) || c->cause == CAUSE_DRAIN)
		listeners_commit(s->listeners);
	if (brings_config(c->cause))
		take_config(s);
	if (c->cause != CAUSE_RESUME) {
		drains_fini(&s->drains);
		s->drains = c->drains;
		c->drains = (struct drains){0};
	}
	s->generation = generation;
	s->resumed_plan = c->cause == CAUSE_RESUME;
	c->state = CHANGE_SWITCHING;
	c->started_ms = uv_now(&s->loop);
	c->complained = false;
	/* Before a relay can take it: so the next steward finishes what our death cuts off, and what relays have was accepted. */
	if (c->cause != CAUSE_RESUME && !is_first(s))
		steward_keep_plan(s, plan_fd);
	if (roster_set_plan(&s->roster, plan_fd, generation) < 0) {
		/* plan_build made it and plan_create checked it. */
		log_line(LOG_CRIT, "a plan of our own does not pass its check");
		close(plan_fd);
		steward_end(s, EX_SOFTWARE);
		return;
	}
	if (!s->roster.started)
		roster_start(&s->roster);
	steward_change_step(s);
}

void steward_on_resolved(struct steward *s)
{
	struct change *c = &s->change;
	struct ledger_view view;
	uint32_t generation;
	int r = 0, plan_fd;

	if (s->closing || c->state != CHANGE_RESOLVING || s->phase >= PHASE_STOPPING)
		return;
	if (!c->prepared && (c->cause == CAUSE_RELOAD || (c->cause == CAUSE_START && !s->resume))) {
		if (s->farewell) {
			c->deferred = true; /* of an earlier change: perhaps of what this one has again */
			return;
		}
		r = steward_prepare(s);
		if (r > 0)
			return;
	}
	if (r == 0 && c->refused)
		r = -ECANCELED;
	if (r < 0) {
		fail(s, r);
		return;
	}
	if (c->cause == CAUSE_RELOAD && !c->grown && c->config->settings.workers > s->config->settings.workers) {
		c->state = CHANGE_GROWING;
		upstream_workers(&s->upstream, c->config->settings.workers);
		return;
	}
	roster_view(&s->roster, &view);
	if (c->cause == CAUSE_RELOAD)
		steward_free_numbers(s, &view);
	if (c->cause != CAUSE_DRAIN)
		r = drains_copy(&c->drains, &s->drains, c->config);
	if (r == 0 && c->cause != CAUSE_NAMES)
		r = listeners_prepare(
			s->listeners, c->config, &c->drains, s->ids, &view, s->resume && c->cause == CAUSE_START, &c->report);
	if (r < 0) {
		fail(s, r);
		return;
	}
	plan_fd = steward_make_plan(s, &generation);
	if (plan_fd < 0) {
		fail(s, plan_fd);
		return;
	}
	switch_over(s, plan_fd, generation);
}

void steward_on_grown(struct steward *s, const struct message_pairs *answer)
{
	struct change *c = &s->change;

	if (s->closing || c->state != CHANGE_GROWING || answer->answered != s->upstream.workers.number)
		return;
	if (answer->error) {
		report_add(&c->report, "%s: workers = %u: %s", c->config->file, c->config->settings.workers, answer->text);
		fail(s, answer->error);
		return;
	}
	c->grown = true;
	c->state = CHANGE_RESOLVING;
	steward_on_resolved(s);
}

static void resolve(struct steward *s, enum change_cause cause, struct config *config)
{
	struct change *c = &s->change;
	int r;

	c->cause = cause;
	c->config = config;
	c->state = CHANGE_RESOLVING;
	c->started_ms = uv_now(&s->loop);
	c->complained = false;
	r = resolver_prepare(s->resolver, config);
	if (r < 0) {
		report_add(&c->report, "%s: names cannot be resolved: %s", config->file, strerror(-r));
		fail(s, r);
	}
}

void steward_start_change(struct steward *s)
{
	resolve(s, CAUSE_START, s->change.config);
}

/* The predecessor's plan stays in force until every name has an answer: what it knew may be more than can be known now. */
void steward_resume_change(struct steward *s)
{
	struct ledger_view view;
	struct report report = {0};
	struct plan plan;
	int fd = s->resumed_fd;

	s->resumed_fd = -1;
	roster_view(&s->roster, &view);
	if (fd < 0 || plan_map(&plan, fd) < 0) {
		struct config *config = s->config;

		log_line(LOG_WARNING, "the plan of the last steward cannot be used: a new one is made");
		if (fd >= 0)
			close(fd);
		s->config = NULL;
		steward_reserve_numbers(s, &view);
		resolve(s, CAUSE_START, config);
		return;
	}
	plan_ids_seed(s->ids, &plan);
	drains_from_plan(&s->drains, &plan);
	steward_reserve_numbers(s, &view);
	plan_unmap(&plan);
	if (listeners_prepare(s->listeners, s->config, &s->drains, s->ids, &view, true, &report) < 0) {
		report_log(&report, LOG_CRIT);
		report_fini(&report);
		close(fd);
		steward_end(s, EX_OSERR);
		return;
	}
	report_fini(&report);
	listeners_commit(s->listeners);
	if (resolver_prepare(s->resolver, s->config) == 0)
		resolver_use(s->resolver, s->config);
	s->change.cause = CAUSE_RESUME;
	s->change.config = s->config;
	s->change.names_due = true;
	switch_over(s, fd, s->generation);
}

void steward_reload(struct steward *s, bool apply)
{
	struct config_errors errors = {0};
	struct change *c = &s->change;
	struct config *config;
	int r;

	if (c->state != CHANGE_NONE) {
		c->again = true;
		c->apply_again |= apply;
		return;
	}
	if (s->phase != PHASE_UP) {
		upstream_reloaded(&s->upstream, -EBUSY, "reload: not now, tcpwarden is being stopped");
		return;
	}
	c->cause = CAUSE_RELOAD;
	c->apply = apply;
	c->config = NULL;
	r = config_load(s->config_path, &config, &errors);
	if (r == 0 && (r = steward_check_users(s, config, &errors)) < 0)
		config_free(config);
	if (r < 0) {
		for (size_t i = 0; i < errors.count; i++)
			report_add(&c->report, "%s", errors.lines[i]);
		config_errors_free(&errors);
		fail(s, r);
		return;
	}
	resolve(s, CAUSE_RELOAD, config);
}

void steward_change(struct steward *s, enum change_cause cause)
{
	s->change.cause = cause;
	s->change.config = s->config;
	s->change.state = CHANGE_RESOLVING;
	s->change.started_ms = uv_now(&s->loop);
	s->change.complained = false;
	steward_on_resolved(s);
}

void steward_names_changed(struct steward *s)
{
	s->change.names_due = true;
}

static bool names_wait(const struct steward *s)
{
	return s->change.names_due && s->phase == PHASE_UP && s->change.state == CHANGE_NONE &&
	       !(s->resumed_plan && resolver_pending(s->resolver) > 0);
}

static void complain_if_slow(struct steward *s)
{
	struct change *c = &s->change;

	if (c->complained || uv_now(&s->loop) - c->started_ms < SLOW_MS)
		return;
	c->complained = true;
	for (uint32_t i = 0; i < s->roster.relays; i++)
		if (roster_ledger(&s->roster, i) && !roster_has_plan(&s->roster, i))
			log_line(LOG_WARNING, "relay %" PRIu32 " has not taken plan %" PRIu32 " yet", i, s->generation);
}

void steward_change_step(struct steward *s)
{
	struct change *c = &s->change;
	char words[MESSAGE_TEXT_SIZE];
	uint32_t failed;

	if (s->closing || s->phase >= PHASE_STOPPING)
		return;
	if (names_wait(s)) {
		c->names_due = false;
		steward_change(s, CAUSE_NAMES);
		return;
	}
	if (steward_drain_waits(s)) {
		steward_begin_drain(s);
		return;
	}
	if (c->state != CHANGE_SWITCHING)
		return;
	if (!roster_settled(&s->roster, &failed)) {
		complain_if_slow(s);
		return;
	}
	if (failed > 0 && is_first(s)) {
		steward_end(s, EX_UNAVAILABLE);
		return;
	}
	if (is_first(s))
		steward_keep_plan(s, s->roster.plan_fd);
	if (c->cause == CAUSE_RELOAD && memcmp(&s->upstream.settings, &s->config->settings, sizeof s->config->settings) != 0)
		upstream_settings(&s->upstream, &s->config->settings);
	snprintf(words, sizeof words, "serving %zu service%s on %zu address%s", s->config->service_count,
		s->config->service_count == 1 ? "" : "s", listeners_count(s->listeners),
		listeners_count(s->listeners) == 1 ? "" : "es");
	if (failed > 0)
		report_add(&c->report, "%s: %u listening sockets cannot be opened now; they are tried again", s->config->file,
			failed);
	if (s->phase == PHASE_PREPARING) {
		s->phase = PHASE_UP;
		log_line(LOG_NOTICE, "%s", words);
		upstream_status(&s->upstream, words);
		upstream_say(&s->upstream, MESSAGE_READY);
	} else if (c->cause == CAUSE_RELOAD || c->cause == CAUSE_DRAIN) {
		report_log(&c->report, LOG_WARNING);
		upstream_status(&s->upstream, words);
	}
	memmove(words + strlen("reloaded: "), words, sizeof words - strlen("reloaded: "));
	memcpy(words, "reloaded: ", strlen("reloaded: "));
	words[sizeof words - 1] = '\0';
	steward_begin_farewell(s);
	finish(s, 0, words);
}
