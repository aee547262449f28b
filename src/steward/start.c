/* The start, step by step: what the supervisor tells, until every lease of a predecessor is judged. */
#include "steward/steward.h"

#include "steward/log/log.h"
#include "wire/shared.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <syslog.h>

void steward_use_settings(struct steward *s, const struct config *config)
{
	log_configure(config);
	upstream_settings(&s->upstream, &config->settings);
}

void steward_report_config(const char *path, struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		log_line(LOG_ERR, "%s", errors->lines[i]);
	log_line(LOG_ERR, "%s: %zu error%s", path, errors->count, errors->count == 1 ? "" : "s");
	config_errors_free(errors);
}

/* ---- what leases tell ---- */

static void on_verdict(void *context, const struct session_key *key, const struct message_verdict *verdict)
{
	struct steward *s = context;

	roster_verdict(&s->roster, key, verdict);
}

static void on_end_durable(void *context, const struct session_key *key)
{
	struct steward *s = context;

	roster_durable(&s->roster, key);
}

static void on_end_session(void *context, const struct session_key *key, const struct reason *reason)
{
	struct steward *s = context;

	roster_kill(&s->roster, key->id, false, reason);
}

static bool on_busy(void *context, const struct session_key *key, const struct session_record *record)
{
	return steward_on_busy(context, key, record);
}

static void on_given_back(void *context, const char *service)
{
	struct steward *s = context;

	reclaims_on_given_back(s->reclaims, service);
}

static void on_leases_stopped(void *context)
{
	struct steward *s = context;

	if (s->phase != PHASE_RELEASING)
		return;
	steward_farewell_all(s);
}

static void on_leases_quiet(void *context)
{
	steward_give_up_privileges(context);
}

static const struct lease_callbacks lease_callbacks = {
	.on_verdict = on_verdict,
	.on_end_durable = on_end_durable,
	.on_end_session = on_end_session,
	.on_busy = on_busy,
	.on_given_back = on_given_back,
	.on_stopped = on_leases_stopped,
	.on_quiet = on_leases_quiet,
};

/* ---- what the control socket asks ---- */

static json_t *control_status(void *context)
{
	return steward_status(context);
}

static struct leases *control_leases(void *context)
{
	struct steward *s = context;

	return s->leases;
}

/* This steward does not live to see its end: that is told by `status`. */
static bool control_upgrade(void *context, uint32_t *ret_after)
{
	struct steward *s = context;

	if (s->phase != PHASE_UP || s->upgrade.state == UPGRADE_UNDER_WAY)
		return false;
	*ret_after = s->upgrade.number;
	upstream_say(&s->upstream, MESSAGE_UPGRADE);
	return true;
}

static enum control_begun control_reload(void *context, bool apply)
{
	struct steward *s = context;
	/* Which has read the file already. */
	bool reloading = s->change.state != CHANGE_NONE && s->change.cause == CAUSE_RELOAD;

	if (s->phase != PHASE_UP && s->phase != PHASE_PREPARING)
		return CONTROL_REFUSED;
	if (s->change.state == CHANGE_NONE)
		upstream_say(&s->upstream, MESSAGE_RELOADING);
	steward_reload(s, apply);
	return reloading ? CONTROL_NEXT : CONTROL_BEGUN;
}

static enum control_begun control_drain(void *context, bool drain, const char *what, char error[CONTROL_ERROR_SIZE])
{
	return steward_drain(context, drain, what, error);
}

static void control_ask_acquire(void *context, const struct session_key *key, bool *ret_queued, bool *ret_busy)
{
	struct steward *s = context;

	*ret_queued = leases_is_queued(s->leases, key);
	*ret_busy = reclaims_keep(s->reclaims, key);
}

static void open_control(struct steward *s)
{
	static const struct control_host host = {
		.status = control_status,
		.leases = control_leases,
		.reload = control_reload,
		.drain = control_drain,
		.upgrade = control_upgrade,
		.ask_acquire = control_ask_acquire,
	};
	const struct config *config = s->config ? s->config : s->change.config;
	char error[CONTROL_ERROR_SIZE];
	struct control_options options = {
		.path = config->control_socket,
		.group = config->control_group,
		.mode = config->control_mode,
		.refused = {config->settings.user_relay, config->settings.user_status},
		.separated = s->begin.separated,
	};

	if (!options.path)
		return;
	if (control_open(&s->control, &s->loop, &options, &s->roster, &host, s, error) < 0)
		log_line(LOG_ERR, "control socket: %s; tcpwardenctl and systemctl reload do not work", error);
}

/* ---- what the supervisor tells ---- */

static void on_recovered(void *context)
{
	struct steward *s = context;

	s->phase = PHASE_PREPARING;
	if (s->stop_due) {
		roster_start(&s->roster);
		steward_stop(s, s->deadline_ms, &s->stop_reason);
		return;
	}
	if (s->resume)
		steward_resume_change(s);
	else
		steward_start_change(s);
	if (!s->closing)
		open_control(s);
}

static bool lives(void *context, const struct session_key *key, struct slot *ret)
{
	struct steward *s = context;

	return roster_lives(&s->roster, key, ret);
}

static void each_live(
	void *context, void (*visit)(void *visitor, const struct session_key *key, const struct slot *slot), void *visitor)
{
	struct steward *s = context;

	roster_each_live(&s->roster, visit, visitor);
}

/* Whether the plan has that number for an address of the same service: a ledger's word on what is another service's would have
 * the relays mix up their clients. A number that the plan has not is of a listener that is being opened or closed. */
static bool is_plausible(const struct config *config, const struct plan *plan, const char *address, uint32_t id)
{
	const struct plan_service *service = plan->header ? plan_service_of_listener(plan, id) : NULL;
	const struct service_config *of = service && config ? config_service(config, service->name) : NULL;

	if (!of)
		return id <= INT32_MAX; /* beyond, no numbers would be left */
	for (size_t i = 0; i < of->listen_count; i++)
		if (strcmp(of->listen[i].text, address) == 0)
			return true;
	return false;
}

static void seed_ids(struct steward *s)
{
	struct plan plan = {0};

	if (s->resumed_fd >= 0 && plan_map(&plan, s->resumed_fd) < 0)
		plan = (struct plan){0};
	for (uint32_t r = 0; r < s->roster.relays; r++) {
		const struct ledger *ledger = roster_ledger(&s->roster, r);

		for (int i = 0; ledger && i < LEDGER_LISTENERS; i++) {
			const struct ledger_listener *e = &ledger->header->listeners[i];
			char address[ADDRESS_TEXT_SIZE];

			if (atomic_load_explicit(&e->state, memory_order_acquire) == LISTENER_FREE)
				continue;
			memcpy(address, e->address, sizeof address);
			address[sizeof address - 1] = '\0';
			if (is_plausible(s->config, &plan, address, e->id))
				plan_ids_seed_listener(s->ids, address, e->id);
		}
	}
	plan_unmap(&plan);
}

/* Once the census and all ledgers are here. */
static void recover(struct steward *s)
{
	const struct config *config = s->config ? s->config : s->change.config;
	char error[MESSAGE_TEXT_SIZE];
	int r;

	if (s->phase != PHASE_STARTING || !s->census || !s->pairs || !roster_has(&s->roster, s->pairs))
		return;
	r = leases_new(&s->leases, &s->loop, config->settings.state_directory, s->begin.tree, &lease_callbacks, s, error);
	if (r < 0) {
		log_line(LOG_ERR, "leases: %s", error);
		steward_end(s, EX_CANTCREAT);
		return;
	}
	leases_configure(s->leases, config);
	seed_ids(s);
	s->phase = PHASE_RECOVERING;
	roster_settle_moves(&s->roster);
	leases_recover(s->leases, lives, each_live, on_recovered);
}

static int read_memfd(int fd, char **ret, size_t *ret_length)
{
	void *at;
	int r = shared_map(fd, false, true, 0, &at, ret_length);

	if (r < 0)
		return r;
	*ret = at;
	return 0;
}

void steward_on_resume(struct steward *s, struct message *m)
{
	struct config_errors errors = {0};
	char *text;
	size_t length;
	int r;

	if (!s->resume || s->config)
		return;
	r = read_memfd(m->fds[1], &text, &length);
	if (r < 0) {
		log_line(LOG_CRIT, "the accepted config cannot be read back: %s", strerror(-r));
		steward_end(s, EX_SOFTWARE);
		return;
	}
	r = config_parse_again(s->config_path, text, length, &s->config, &errors);
	munmap(text, length);
	if (r < 0) {
		steward_report_config(s->config_path, &errors);
		steward_end(s, EX_SOFTWARE);
		return;
	}
	s->resumed_fd = m->fds[0];
	m->fds[0] = -1;
	s->generation = m->body.generation.generation;
	steward_use_settings(s, s->config);
	steward_tell_users_gone(s->config);
}

void steward_on_begin(struct steward *s, const struct message *m)
{
	s->begin = m->body.begin;
	s->census = census_map(m->fds[0], NULL);
	if (!s->census) {
		log_line(LOG_CRIT, "the census cannot be mapped: %s", strerror(errno));
		steward_end(s, EX_SOFTWARE);
		return;
	}
	recover(s);
}

void steward_on_pairs(struct steward *s, const struct message_pairs *pairs)
{
	s->pairs = pairs->present;
	recover(s);
	steward_on_grown(s, pairs);
	steward_change_step(s);
}

void steward_on_pair(struct steward *s, struct message *m)
{
	int r = roster_add(&s->roster, &m->body.pair, m->fds[0], m->fds[1]);

	m->fds[0] = m->fds[1] = -1;
	if (r < 0) {
		/* Its next relay cannot read it, either, and then the pair begins anew. */
		log_line(LOG_CRIT, "relay %" PRIu32 ": its ledger cannot be read: %s; it is replaced", m->body.pair.relay,
			strerror(-r));
		upstream_replace(&s->upstream, &m->body.pair);
	}
	recover(s);
	steward_change_step(s);
}
