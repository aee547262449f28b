/* The steward's role: everything slow. One struct a process, on main's stack; ends when steward_run returns.
 *
 *   STARTING ── BEGIN and every PAIR ──► RECOVERING ── leases judged ──► PREPARING ── relays have the plan ──► UP
 *      STOPPING (from any of the last three) ── sessions over ──► RELEASING ── leases released ──► STOPPED
 *
 * steward.c: the loop, and what others tell us; start.c: up to PREPARING; reload.c: how a config, or new addresses, come into
 * force; drain.c: how an operator drains; plans.c: the plans that carry it; prepare.c: hooks of services around that; full.c: when a
 * service has no room; privileges.c: what hooks of other users need; stop.c: the end. */
#ifndef STEWARD_STEWARD_H
#define STEWARD_STEWARD_H
#include "steward/config/config.h"
#include "steward/control/control.h"
#include "steward/hook/service_hooks.h"
#include "steward/lease/leases.h"
#include "steward/listen/listeners.h"
#include "steward/names/resolver.h"
#include "steward/plan/drains.h"
#include "steward/plan/ids.h"
#include "steward/reclaim/reclaims.h"
#include "steward/report.h"
#include "steward/roster/roster.h"
#include "steward/upstream.h"
#include "wire/inherit.h"

#include <uv.h>

enum phase {
	PHASE_STARTING,
	PHASE_RECOVERING,
	PHASE_PREPARING,
	PHASE_UP,
	PHASE_STOPPING,
	PHASE_RELEASING,
	PHASE_STOPPED,
};

/* What an operator wants drained or resumed, until its change begins. One at a time. */
struct drain_order {
	bool due;
	bool drain;
	struct drain what;
};

/* A config on its way into force. Each state waits for the next; nothing has changed before SWITCHING, and nothing can fail in
 * it. */
enum change_state {
	CHANGE_NONE,
	CHANGE_RESOLVING, /* names of the new config have their first answers; prepare_listen follows */
	CHANGE_PREPARING, /* prepare_listen runs */
	CHANGE_GROWING,   /* the supervisor starts more pairs */
	CHANGE_SWITCHING, /* relays take the plan, then open new listeners */
};

enum change_cause { CAUSE_START, CAUSE_RESUME, CAUSE_RELOAD, CAUSE_NAMES, CAUSE_DRAIN };

struct change {
	enum change_state state;
	enum change_cause cause;
	struct config *config; /* ours until it is in force; CAUSE_NAMES, _RESUME and _DRAIN: the one in force */
	struct drains drains;  /* with it */
	bool apply;            /* its policies are for older sessions, too */
	uint64_t started_ms;
	bool complained;                 /* that it takes long */
	bool again, apply_again;         /* another reload was asked for meanwhile, and with what */
	bool names_due;                  /* addresses changed: a new plan when nothing else is under way */
	struct service_hooks *preparing; /* of new addresses; kept to the end, NULL: none */
	bool prepared;                   /* all of them have ended */
	bool refused;                    /* one of them failed */
	bool grown;                      /* there are as many pairs as it needs */
	bool deferred;                   /* steward_on_resolved is due when the farewell is over */
	struct report report;
};

/* Of which hooks of other users have need. */
enum privileges {
	PRIVILEGES_NONE, /* there never were any */
	PRIVILEGES_GIVEN_UP,
	PRIVILEGES_KEPT,
};

struct steward {
	uv_loop_t loop;
	const char *config_path;
	bool resume;
	enum phase phase;
	enum privileges privileges;
	int exit_status;

	struct upstream upstream;
	uv_poll_t parent; /* the supervisor's pidfd */
	uv_timer_t tick;
	uv_signal_t sigterm;
	uv_timer_t patience; /* closing: when it is given up */
	bool closing, late;
	struct pulse *pulse;
	struct message_begin begin;
	uint64_t pairs; /* that the supervisor has, a bit for each; 0: not known yet */
	struct message_upgrade upgrade; /* as the supervisor said last */
	struct census *census;

	struct config *config; /* in force, NULL: none yet */
	struct config *given_up; /* of a first start that was stopped: a predecessor's leases are released by it */
	uint32_t generation;   /* of the last plan made */
	bool resumed_plan;     /* the plan in force is a predecessor's */
	int resumed_fd;        /* the plan that RESUME brought, -1: none */
	struct change change;
	struct drain_order order;
	struct drains drains;  /* in force */
	struct plan_ids *ids;
	struct resolver *resolver;
	struct listeners *listeners;
	struct roster roster;
	struct leases *leases;
	struct reclaims *reclaims;
	struct control *control;
	struct service_hooks *farewell; /* shutdown hooks, NULL: none */
	bool farewell_begun;            /* they run; else they will when relays have shut the addresses */
	bool farewell_said;             /* of all services, at the end */

	uint64_t stopping_ms; /* since when */
	uint64_t deadline_ms; /* STOPPING: sessions are ended then */
	uint64_t patience_ms; /* and waited for until then */
	struct reason stop_reason;
	uint64_t orphaned_ms; /* since when the supervisor is dead, 0: it lives */
	bool stop_due;        /* asked for while RECOVERING */
	uint64_t retry_ms;    /* when listeners that failed are tried again */
};

/* Runs the role to its end. The exit status (sysexits.h). */
int steward_run(const char *config_path, bool resume);

/* start.c */
void steward_use_settings(struct steward *steward, const struct config *config);
void steward_report_config(const char *path, struct config_errors *errors); /* to the log; frees them */
void steward_on_resume(struct steward *steward, struct message *message);   /* takes its descriptors */
void steward_on_begin(struct steward *steward, const struct message *message);
void steward_on_pair(struct steward *steward, struct message *message); /* takes its descriptors */
void steward_on_pairs(struct steward *steward, const struct message_pairs *pairs); /* that there are, as it stands now */

/* reload.c */
void steward_start_change(struct steward *steward);  /* first start: steward->change.config is set */
void steward_resume_change(struct steward *steward); /* after a predecessor */
void steward_reload(struct steward *steward, bool apply); /* apply: also to sessions that live */
void steward_change(struct steward *steward, enum change_cause cause); /* of what is in force: new names, or drains */
void steward_names_changed(struct steward *steward);
void steward_change_step(struct steward *steward); /* something that a change waits for may have happened */
void steward_drop_change(struct steward *steward);
void steward_on_resolved(struct steward *steward);
void steward_on_grown(struct steward *steward, const struct message_pairs *answer);

/* drain.c */
enum control_begun steward_drain(struct steward *steward, bool drain, const char *what, char error[CONTROL_ERROR_SIZE]);
bool steward_drain_waits(const struct steward *steward); /* to begin */
void steward_begin_drain(struct steward *steward);
void steward_drained(struct steward *steward, bool done); /* it is over: tells who asked */

/* plans.c */
/* Of change.config: its descriptor, or -errno and a line in the report. */
int steward_make_plan(struct steward *steward, uint32_t *ret_generation);
void steward_keep_plan(struct steward *steward, int plan_fd); /* what is in force, for the next steward */
void steward_free_numbers(struct steward *steward, const struct ledger_view *view);
void steward_reserve_numbers(struct steward *steward, const struct ledger_view *view);

/* privileges.c */
void steward_note_privileges(struct steward *steward); /* first of all: those that we were started with */
/* 0; -EINVAL and *errors: hooks of that config would run as users that they cannot run as; -ENOMEM. */
int steward_check_users(const struct steward *steward, const struct config *config, struct config_errors *errors);
void steward_tell_users_gone(const struct config *config); /* to the log, of one that was accepted before */
void steward_give_up_privileges(struct steward *steward);  /* once leases are loaded: for good, unless there is a use for them */

/* prepare.c */
int steward_prepare(
	struct steward *steward); /* 1: prepare_listen runs, steward_on_resolved follows; 0: nothing to run; -ENOMEM */
void steward_farewell_removed(struct steward *steward);  /* what change.config takes away; begun when relays have taken it */
void steward_farewell_given_up(struct steward *steward); /* what was prepared and will not be served */
void steward_begin_farewell(struct steward *steward);
void steward_farewell_all(struct steward *steward); /* RELEASING, all is released: STOPPED follows */

/* stop.c */
void steward_stop(struct steward *steward, uint64_t deadline_ms, const struct reason *reason);
void steward_stop_step(struct steward *steward);
void steward_on_stop(struct steward *steward, uint64_t deadline_ms); /* the supervisor asks for it, in whatever phase */
void steward_on_orphaned(struct steward *steward);                   /* the supervisor is dead */
void steward_orphan_step(struct steward *steward);                   /* should it be for too long */
void steward_end_orphaned(struct steward *steward, bool asked);      /* asked: by an operator; no other supervisor will come */

/* full.c */
int steward_open_reclaims(struct steward *steward); /* 0 or -errno */
void steward_on_full(struct steward *steward, const struct session_key *key, const struct slot *slot);
bool steward_on_busy(struct steward *steward, const struct session_key *key, const struct session_record *record);

/* steward.c */
void steward_end(struct steward *steward, int exit_status); /* closes everything: the loop ends */

/* status.c: the answer to `status`; a new reference. */
json_t *steward_status(struct steward *steward);

#endif
