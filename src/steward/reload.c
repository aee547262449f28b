/* How a config comes into force, at start, after a predecessor, at a reload, or only with new addresses of the same names:
 *
 *   parse, check ─► names resolved ─► prepare_listen ─► sockets bound ─► plan made ─┬─► relays take it ─► they open ─► accepted
 *                      any failure up to here: nothing has changed, all of it is told ┘
 */
#include "steward/steward.h"

#include "base/clock.h"
#include "steward/config/warnings.h"
#include "steward/log/log.h"
#include "steward/plan/build.h"
#include "steward/plan/number_use.h"
#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

enum { SLOW_MS = 10000 };

/* Relays may have taken a plan of a predecessor that was never accepted, so each steward counts from where no earlier one came
 * to. */
static uint32_t next_generation(const struct steward *s)
{
	uint32_t first = s->begin.steward_starts << 16;

	return s->generation + 1 > first ? s->generation + 1 : first;
}

/* The config's text, for the next steward: sealed, since it is parsed without being checked again. */
static int text_memfd(const struct config *config)
{
	int r, fd = shared_create("tcpwarden-config", config->text_length);
	size_t done = 0;

	if (fd < 0)
		return fd;
	while (done < config->text_length) {
		ssize_t n = pwrite(fd, config->text + done, config->text_length - done, (off_t)done);

		if (n < 0) {
			r = -errno;
			close(fd);
			return r;
		}
		done += (size_t)n;
	}
	r = shared_seal(fd, true);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

void steward_drop_change(struct steward *s)
{
	steward_farewell_given_up(s);
	service_hooks_free(s->change.preparing);
	s->change.preparing = NULL;
	s->change.prepared = s->change.refused = s->change.deferred = false;
	if (s->change.config && s->change.config != s->config)
		config_free(s->change.config);
	s->change.config = NULL;
	s->change.state = CHANGE_NONE;
	report_fini(&s->change.report);
}

/* What was asked for is over, for better or worse: answers, and what waited for its turn. */
static void finish(struct steward *s, int error, const char *words)
{
	struct change *c = &s->change;
	char text[MESSAGE_TEXT_SIZE];
	bool again = c->again;

	if (c->cause == CAUSE_RELOAD) {
		if (error)
			snprintf(text, sizeof text, "reload failed: %.200s", c->report.count > 0 ? c->report.lines[0] : words);
		else
			snprintf(text, sizeof text, "%s", words);
		log_line(error ? LOG_ERR : LOG_NOTICE, "%s", error ? "reload failed: nothing has changed" : words);
		upstream_reloaded(&s->upstream, error, text);
		control_reloaded(s->control, error == 0, &c->report);
	}
	c->again = false;
	steward_drop_change(s);
	if (again)
		steward_reload(s);
}

static void fail(struct steward *s, int error)
{
	struct change *c = &s->change;
	enum change_cause cause = c->cause;

	report_log(&c->report, LOG_ERR);
	listeners_abort(s->listeners);
	if (s->config)
		resolver_use(s->resolver, s->config);
	finish(s, error, "");
	/* What worked for a predecessor is kept going; what never worked is an operator's to put right. */
	if (cause == CAUSE_START)
		steward_end(s, EX_UNAVAILABLE);
}

/* What can only change at a start: said, not an error. */
static void warn_fixed(struct steward *s, const struct config *new)
{
	const struct message_settings *a = &s->config->settings, *b = &new->settings;
	const char *file = new->file;
	struct report *r = &s->change.report;

	if (strcmp(a->state_directory, b->state_directory) != 0)
		report_add(r, "%s: state_directory: takes effect when tcpwarden is restarted", file);
	if (a->workers != b->workers)
		report_add(r, "%s: workers: takes effect when tcpwarden is restarted", file);
	if (a->sessions_max != b->sessions_max)
		report_add(r,
			"%s: limits.connections: what the tables of running relays can hold changes when tcpwarden is restarted",
			file);
	if (strcmp(a->user_relay, b->user_relay) != 0 || strcmp(a->user_status, b->user_status) != 0)
		report_add(r, "%s: users: takes effect when tcpwarden is restarted", file);
	if (strcmp(s->config->control_socket ? s->config->control_socket : "", new->control_socket ? new->control_socket : "") !=
			0 ||
		strcmp(s->config->control_group ? s->config->control_group : "", new->control_group ? new->control_group : "") !=
			0 ||
		s->config->control_mode != new->control_mode)
		report_add(r, "%s: control: takes effect when tcpwarden is restarted", file);
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

/* From here on nothing can fail: what a relay does not do now, it does when it is told again. */
static void switch_over(struct steward *s, int plan_fd, uint32_t generation)
{
	struct change *c = &s->change;
	struct config *old = s->config;

	if (c->cause != CAUSE_NAMES && c->cause != CAUSE_RESUME) {
		listeners_commit(s->listeners);
		steward_farewell_removed(s);
		if (c->cause == CAUSE_RELOAD) {
			warn_fixed(s, c->config);
			warn_unlikely(s, c->config);
		}
		s->config = c->config;
		leases_configure(s->leases, s->config);
		log_configure(s->config);
		resolver_use(s->resolver, s->config);
		if (old)
			config_free(old);
	}
	s->generation = generation;
	s->resumed_plan = c->cause == CAUSE_RESUME;
	c->state = CHANGE_SWITCHING;
	c->started_ms = uv_now(&s->loop);
	c->complained = false;
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

/* The numbers of what earlier reloads removed may be given away again once nothing refers to them. A relay that has not taken the
 * plan in force yet may still begin sessions under an older one. */
static void free_numbers(struct steward *s, const struct ledger_view *view)
{
	struct number_use use;

	if (s->census && roster_planned(&s->roster) && number_use_collect(&use, view, s->census) == 0)
		plan_ids_sweep(s->ids, s->config, number_use_has, &use);
}

/* What sessions of a predecessor's time count for, also in services that its plan has not any more. */
static void reserve_numbers(struct steward *s, const struct ledger_view *view)
{
	struct number_use use;

	if (!s->census)
		return;
	number_use_collect(&use, view, s->census);
	for (uint32_t i = 0; i < CENSUS_SERVICES; i++)
		if (use.service[i])
			plan_ids_reserve(s->ids, PLAN_ID_SERVICE, i);
	for (uint32_t i = 0; i < CENSUS_BACKENDS; i++)
		if (use.backend[i])
			plan_ids_reserve(s->ids, PLAN_ID_BACKEND, i);
}

static struct plan_stamp next_stamp(const struct steward *s)
{
	const struct plan_header *now = s->roster.plan.header; /* NULL: this is the first */
	struct plan_stamp stamp = {.generation = next_generation(s)};

	if (now && s->change.cause == CAUSE_NAMES) {
		stamp.loads = now->loads;
		stamp.loaded_us = now->loaded_us;
	} else {
		stamp.loads = now ? now->loads + 1 : 1;
		stamp.loaded_us = clock_real_us();
	}
	return stamp;
}

void steward_on_resolved(struct steward *s)
{
	struct change *c = &s->change;
	struct ledger_view view;
	struct plan_stamp stamp;
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
	roster_view(&s->roster, &view);
	if (c->cause == CAUSE_RELOAD)
		free_numbers(s, &view);
	if (c->cause == CAUSE_START || c->cause == CAUSE_RELOAD)
		r = listeners_prepare(s->listeners, c->config, s->ids, &view, s->resume && c->cause == CAUSE_START, &c->report);
	if (r < 0) {
		fail(s, r);
		return;
	}
	stamp = next_stamp(s);
	plan_fd = plan_build(c->config, s->resolver, s->ids, &stamp);
	if (plan_fd < 0) {
		report_add(&c->report, "%s: no plan can be made of it: %s", c->config->file,
			plan_fd == -ENOSPC
				? "too many services or backends that were removed still have sessions (end those, or wait)"
				: strerror(-plan_fd));
		fail(s, plan_fd);
		return;
	}
	switch_over(s, plan_fd, stamp.generation);
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
		reserve_numbers(s, &view);
		resolve(s, CAUSE_START, config);
		return;
	}
	plan_ids_seed(s->ids, &plan);
	reserve_numbers(s, &view);
	plan_unmap(&plan);
	if (listeners_prepare(s->listeners, s->config, s->ids, &view, true, &report) < 0) {
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

void steward_reload(struct steward *s)
{
	struct config_errors errors = {0};
	struct change *c = &s->change;
	struct config *config;
	int r;

	if (c->state != CHANGE_NONE) {
		c->again = true;
		return;
	}
	if (s->phase != PHASE_UP) {
		upstream_reloaded(&s->upstream, -EBUSY, "reload: not now, tcpwarden is being stopped");
		return;
	}
	c->cause = CAUSE_RELOAD;
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

void steward_names_changed(struct steward *s)
{
	s->change.names_due = true;
}

static bool names_wait(const struct steward *s)
{
	return s->change.names_due && s->phase == PHASE_UP && s->change.state == CHANGE_NONE &&
	       !(s->resumed_plan && resolver_pending(s->resolver) > 0);
}

static void accept_change(struct steward *s)
{
	int plan_fd, text_fd;

	plan_fd = fcntl(s->roster.plan_fd, F_DUPFD_CLOEXEC, 0);
	text_fd = text_memfd(s->config);
	if (plan_fd >= 0 && text_fd >= 0) {
		upstream_accepted(&s->upstream, s->generation, plan_fd, text_fd);
		return;
	}
	log_line(LOG_ERR, "what is in force cannot be kept for a next steward: %s", strerror(errno));
	if (plan_fd >= 0)
		close(plan_fd);
	if (text_fd >= 0)
		close(text_fd);
}

static void complain_if_slow(struct steward *s)
{
	struct change *c = &s->change;

	if (c->complained || uv_now(&s->loop) - c->started_ms < SLOW_MS)
		return;
	c->complained = true;
	for (uint32_t i = 0; i < s->roster.relays; i++)
		if (!roster_has_plan(&s->roster, i))
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
		c->cause = CAUSE_NAMES;
		c->config = s->config;
		c->state = CHANGE_RESOLVING;
		steward_on_resolved(s);
		return;
	}
	if (c->state != CHANGE_SWITCHING)
		return;
	if (!roster_settled(&s->roster, &failed)) {
		complain_if_slow(s);
		return;
	}
	if (failed > 0 && c->cause == CAUSE_START && !s->resume) {
		steward_end(s, EX_UNAVAILABLE);
		return;
	}
	if (c->cause != CAUSE_RESUME)
		accept_change(s);
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
	} else if (c->cause == CAUSE_RELOAD) {
		report_log(&c->report, LOG_WARNING);
		upstream_status(&s->upstream, words);
	}
	memmove(words + strlen("reloaded: "), words, sizeof words - strlen("reloaded: "));
	memcpy(words, "reloaded: ", strlen("reloaded: "));
	words[sizeof words - 1] = '\0';
	steward_begin_farewell(s);
	finish(s, 0, words);
}
