#include "steward/steward.h"

#include "base/clock.h"
#include "steward/log/log.h"
#include "wire/programs.h"
#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

enum {
	TICK_MS = 200,
	TICK_STOPPING_MS = 50,
	RETRY_LISTEN_MS = 5000,
	END_MS = 2000, /* for what libuv's pool still runs: a lookup cannot be cancelled */
};

static void on_impatient(uv_timer_t *timer)
{
	struct steward *s = timer->data;

	s->late = true;
}

void steward_end(struct steward *s, int exit_status)
{
	if (s->closing)
		return;
	s->closing = true;
	s->exit_status = exit_status;
	upstream_close(&s->upstream, NULL);
	uv_close((uv_handle_t *)&s->parent, NULL);
	uv_close((uv_handle_t *)&s->tick, NULL);
	uv_close((uv_handle_t *)&s->sigterm, NULL);
	control_close(s->control);
	s->control = NULL;
	roster_close(&s->roster);
	if (s->reclaims)
		reclaims_close(s->reclaims);
	s->reclaims = NULL;
	if (s->resolver)
		resolver_stop(s->resolver);
	s->resolver = NULL;
	if (s->leases)
		leases_free(s->leases);
	s->leases = NULL;
	service_hooks_free(s->change.preparing);
	s->change.preparing = NULL;
	service_hooks_free(s->farewell);
	s->farewell = NULL;
	uv_timer_start(&s->patience, on_impatient, END_MS, 0);
	uv_unref((uv_handle_t *)&s->patience);
}

/* ---- what the roster tells ---- */

static void on_acquire(void *context, const struct session_key *key, const struct session_record *record)
{
	struct steward *s = context;

	/* Also for a service that a reload removed, or took the hooks from, while it waited: what it has already is answered
	 * first. One that waits since acquire said busy goes on waiting. */
	if (!reclaims_keep(s->reclaims, key))
		leases_acquire(s->leases, key, record->service, record);
}

static void on_ended(void *context, const struct session_key *key, const struct session_record *record, bool recovered)
{
	struct steward *s = context;

	reclaims_forget(s->reclaims, key);
	/* leases_recover judges what is not in a ledger any more. */
	if (s->phase >= PHASE_PREPARING)
		leases_end(s->leases, key, record, recovered);
}

static void on_missed(void *context, const struct session_key *key)
{
	struct steward *s = context;

	reclaims_forget(s->reclaims, key);
	leases_missed(s->leases, key);
}

static void on_connected(void *context, const struct session_key *key, const struct session_record *record)
{
	struct steward *s = context;

	/* What happened before is found in the ledger by leases_recover. */
	if (s->phase >= PHASE_PREPARING)
		leases_connected(s->leases, key, record);
}

static void on_moved(void *context, const struct session_key *from, const struct session_key *to)
{
	struct steward *s = context;

	if (s->phase >= PHASE_RECOVERING)
		leases_moved(s->leases, from, to);
}

static void on_full(void *context, const struct session_key *key, const struct slot *slot)
{
	steward_on_full(context, key, slot);
}

static void on_reclaimed(void *context, uint32_t relay, const struct message_reclaimed *reclaimed)
{
	struct steward *s = context;

	reclaims_on_answer(s->reclaims, relay, reclaimed);
}

static void on_relay_began(void *context, uint32_t relay)
{
	struct steward *s = context;

	reclaims_on_relay_began(s->reclaims, relay);
}

static void on_resolve(void *context, const char *backend)
{
	struct steward *s = context;

	resolver_again(s->resolver, backend);
}

static void on_violation(void *context, const struct message_pair *pair)
{
	struct steward *s = context;

	upstream_replace(&s->upstream, pair);
}

static void on_progress(void *context)
{
	steward_change_step(context);
}

static void on_roster_closed(void *context)
{
	(void)context; /* the loop runs until every handle is closed */
}

static const struct roster_host roster_host = {
	.on_acquire = on_acquire,
	.on_ended = on_ended,
	.on_missed = on_missed,
	.on_connected = on_connected,
	.on_moved = on_moved,
	.on_full = on_full,
	.on_reclaimed = on_reclaimed,
	.on_relay_began = on_relay_began,
	.on_resolve = on_resolve,
	.on_violation = on_violation,
	.on_progress = on_progress,
	.on_closed = on_roster_closed,
};

/* ---- what the resolver tells ---- */

static void on_names_change(void *context)
{
	steward_names_changed(context);
}

static void on_names_ready(void *context)
{
	steward_on_resolved(context);
}

static void on_resolver_stopped(void *context)
{
	(void)context;
}

static const struct resolver_callbacks resolver_callbacks = {
	.on_change = on_names_change,
	.on_ready = on_names_ready,
	.on_stopped = on_resolver_stopped,
};

/* ---- what the supervisor tells ---- */

static void on_parent(uv_poll_t *poll, int status, int events);

/* The one that started us has died, and this one has taken its place. */
static void on_supervisor(struct steward *s, int pidfd)
{
	uv_poll_stop(&s->parent);
	if (dup3(pidfd, INHERIT_PARENT, O_CLOEXEC) < 0)
		return;
	uv_poll_start(&s->parent, UV_READABLE, on_parent);
	if (s->orphaned_ms)
		log_line(LOG_NOTICE, "a new supervisor has taken up the tree");
	s->orphaned_ms = 0;
	upstream_again(&s->upstream);
	if (s->phase == PHASE_UP)
		upstream_say(&s->upstream, MESSAGE_READY);
	else if (s->phase == PHASE_STOPPED)
		upstream_say(&s->upstream, MESSAGE_STOPPED);
}

static void on_upstream_message(void *context, struct message *m)
{
	struct steward *s = context;

	if (s->closing)
		return;
	switch ((enum message_kind)m->header.kind) {
	case MESSAGE_RESUME:
		steward_on_resume(s, m);
		return;
	case MESSAGE_INHERITED:
		m->body.text.text[MESSAGE_TEXT_SIZE - 1] = '\0';
		listeners_inherit(s->listeners, m->body.text.text, m->fds[0]);
		m->fds[0] = -1;
		return;
	case MESSAGE_BEGIN:
		steward_on_begin(s, m);
		return;
	case MESSAGE_PAIR:
		steward_on_pair(s, m);
		return;
	case MESSAGE_PAIR_LOST:
		roster_lose(&s->roster, &m->body.pair);
		return;
	case MESSAGE_PAIRS:
		m->body.pairs.text[MESSAGE_TEXT_SIZE - 1] = '\0';
		steward_on_pairs(s, &m->body.pairs);
		return;
	case MESSAGE_RELOAD:
		steward_reload(s, false);
		return;
	case MESSAGE_STOP:
		steward_on_stop(s, m->body.deadline.deadline_ms);
		return;
	case MESSAGE_UPGRADE_STATE:
		s->upgrade = m->body.upgrade;
		s->upgrade.text[MESSAGE_TEXT_SIZE - 1] = '\0';
		return;
	case MESSAGE_SUPERVISOR:
		on_supervisor(s, m->fds[0]);
		return;
	case MESSAGE_NONE:
	case MESSAGE_SETTINGS:
	case MESSAGE_ACCEPTED:
	case MESSAGE_READY:
	case MESSAGE_RELOADED:
	case MESSAGE_RELOADING:
	case MESSAGE_STATUS:
	case MESSAGE_REPLACE:
	case MESSAGE_STOPPED:
	case MESSAGE_UPGRADE:
	case MESSAGE_HOLDER:
	case MESSAGE_RELAY:
	case MESSAGE_HAND_OVER:
	case MESSAGE_RELAY_HELLO:
	case MESSAGE_PLAN_TAKEN:
	case MESSAGE_LISTENING:
	case MESSAGE_ACQUIRE:
	case MESSAGE_ENDED:
	case MESSAGE_EVENTS:
	case MESSAGE_RESOLVE:
	case MESSAGE_FULL:
	case MESSAGE_RECLAIMED:
	case MESSAGE_STEWARD_HELLO:
	case MESSAGE_PLAN:
	case MESSAGE_LISTEN:
	case MESSAGE_UNLISTEN:
	case MESSAGE_VERDICT:
	case MESSAGE_END_DURABLE:
	case MESSAGE_EVENTS_TAKEN:
	case MESSAGE_KILL:
	case MESSAGE_KILL_ALL:
	case MESSAGE_PROBE:
	case MESSAGE_RECLAIM:
	case MESSAGE_ROOM:
	case MESSAGE_DRAIN:
	case MESSAGE_WORKERS:
	case MESSAGE_LEND:
	case MESSAGE_LENT:
	case MESSAGE_RETIRE:
	case MESSAGE_MOVED:
	case MESSAGE_BRIDGE:
	case MESSAGE_GIVE:
	case MESSAGE_KINDS:
		return; /* upstream lets none of these through */
	}
}

static void on_upstream_gone(void *context)
{
	steward_on_orphaned(context);
}

static void on_parent(uv_poll_t *poll, int status, int events)
{
	struct steward *s = poll->data;

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	steward_on_orphaned(s);
}

/* The supervisor ends the tree, or someone ends us: whatever is under way is taken up by the next steward, if there is one.
 * Without a supervisor there will be none, and the tree ends now. */
static void on_sigterm(uv_signal_t *handle, int number)
{
	struct pollfd parent = {.fd = INHERIT_PARENT, .events = POLLIN};
	struct steward *s = handle->data;

	(void)number;
	if (poll(&parent, 1, 0) > 0)
		steward_end_orphaned(s, true);
	else
		steward_end(s, EXIT_SUCCESS);
}

static const struct upstream_host upstream_host = {.on_message = on_upstream_message, .on_gone = on_upstream_gone};

static void on_tick(uv_timer_t *timer)
{
	struct steward *s = timer->data;

	if (s->pulse)
		atomic_store_explicit(&s->pulse->beat_ns, clock_mono_ns(), memory_order_relaxed);
	if (s->pulse && s->phase == PHASE_UP)
		atomic_store_explicit(&s->pulse->ready, 1, memory_order_relaxed);
	if (s->phase == PHASE_STARTING || s->phase == PHASE_RECOVERING)
		return;
	if (uv_now(&s->loop) >= s->retry_ms) {
		s->retry_ms = uv_now(&s->loop) + RETRY_LISTEN_MS;
		listeners_retry(s->listeners);
	}
	if (s->roster.started)
		roster_tick(&s->roster);
	if (s->leases && s->phase >= PHASE_PREPARING)
		leases_check(s->leases);
	steward_change_step(s);
	steward_orphan_step(s);
	steward_stop_step(s);
	if (s->phase >= PHASE_STOPPING && uv_timer_get_repeat(timer) != TICK_STOPPING_MS)
		uv_timer_start(timer, on_tick, TICK_STOPPING_MS, TICK_STOPPING_MS);
	if (s->phase == PHASE_STOPPED && (s->orphaned_ms || upstream_idle(&s->upstream)))
		steward_end(s, s->exit_status);
}

static void map_pulse(struct steward *s)
{
	void *at;
	size_t size;

	/* Run by hand there is none. */
	if (shared_map(STEWARD_PULSE, true, false, sizeof *s->pulse, &at, &size) == 0) {
		s->pulse = at;
		atomic_store_explicit(&s->pulse->beat_ns, clock_mono_ns(), memory_order_relaxed);
	}
	close(STEWARD_PULSE);
}

static int open_all(struct steward *s)
{
	int r = uv_loop_init(&s->loop);

	if (r == 0)
		r = upstream_init(&s->upstream, &s->loop, INHERIT_SUPERVISOR, &upstream_host, s);
	if (r == 0)
		r = uv_poll_init(&s->loop, &s->parent, INHERIT_PARENT);
	if (r == 0)
		r = uv_poll_start(&s->parent, UV_READABLE, on_parent);
	if (r == 0)
		r = uv_timer_init(&s->loop, &s->tick);
	if (r == 0)
		r = uv_timer_start(&s->tick, on_tick, 0, TICK_MS);
	if (r == 0)
		r = uv_timer_init(&s->loop, &s->patience);
	if (r == 0)
		r = uv_signal_init(&s->loop, &s->sigterm);
	if (r == 0)
		r = uv_signal_start(&s->sigterm, on_sigterm, SIGTERM);
	if (r < 0)
		return r;
	s->parent.data = s->tick.data = s->patience.data = s->sigterm.data = s;
	s->ids = plan_ids_new();
	s->listeners = listeners_new();
	if (!s->ids || !s->listeners)
		return -ENOMEM;
	roster_init(&s->roster, &s->loop, s->listeners, &roster_host, s);
	r = steward_open_reclaims(s);
	return r < 0 ? r : resolver_new(&s->loop, &resolver_callbacks, s, &s->resolver);
}

static void free_all(struct steward *s)
{
	steward_drop_change(s);
	roster_free(&s->roster);
	drains_fini(&s->drains);
	listeners_free(s->listeners);
	plan_ids_free(s->ids);
	config_free(s->config);
	config_free(s->given_up);
	if (s->resumed_fd >= 0)
		close(s->resumed_fd);
}

int steward_run(const char *config_path, bool resume)
{
	static struct steward s;
	struct config_errors errors = {0};
	int r;

	/* A terminal's ^C goes to all of its foreground: the supervisor decides for us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	steward_note_privileges(&s);
	if (fcntl(INHERIT_SUPERVISOR, F_GETFD) < 0 || fcntl(INHERIT_PARENT, F_GETFD) < 0) {
		log_line(LOG_ERR, "--role is for the supervisor: it passes what this needs. Start tcpwarden instead");
		return EX_USAGE;
	}
	for (int fd = INHERIT_SUPERVISOR; fd < STEWARD_INHERITED_END; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	char gate[PATH_MAX], missing[512];
	if ((r = programs_find(gate, "gate", missing))) { /* told now, not by the first client */
		log_line(LOG_ERR, "%s", missing);
		return r;
	}
	s.config_path = config_path;
	s.resume = resume;
	s.resumed_fd = -1;
	map_pulse(&s);
	if (!resume && (r = config_load(config_path, &s.change.config, &errors)) == 0)
		r = steward_check_users(&s, s.change.config, &errors);
	if (!resume && r < 0) {
		steward_report_config(config_path, &errors);
		return r == -ENOMEM ? EX_OSERR : EX_CONFIG;
	}
	r = open_all(&s);
	if (r < 0) {
		log_line(LOG_CRIT, "cannot start: %s", uv_strerror(r));
		return EX_OSERR;
	}
	if (!resume)
		steward_use_settings(&s, s.change.config);
	while (!s.closing || (uv_loop_alive(&s.loop) && !s.late))
		uv_run(&s.loop, UV_RUN_ONCE);
	/* Hooks that run on are the next steward's (leases_recover); memory that something may still use is the kernel's to
	 * free. */
	if (s.late)
		return s.exit_status;
	uv_close((uv_handle_t *)&s.patience, NULL);
	uv_run(&s.loop, UV_RUN_NOWAIT);
	r = uv_loop_close(&s.loop);
	if (r < 0)
		log_line(LOG_DEBUG, "something was left open at the end: %s", uv_strerror(r));
	free_all(&s);
	return s.exit_status;
}
