/* One helper: a program that lives long and is told of events, of one service, and the events that it is told of (call.h).
 *
 *   DOWN ─ an event waits ─► RECORDING ─ its group is on disk ─► RUNNING ─ fault, too late ─► ENDING
 *    ▲                                                              └ not wanted any more ──────┤
 *    └──────────────────────── its whole group is gone ◄────────────────────────────────────────┘
 *
 * What it was told and did not answer is lost when it ends, and its askers are told so then, not before: nothing of it can take
 * effect any more. What it was not told yet waits for the next run, which comes at once, or later the more often it died.
 * Owner: struct helpers (helpers.h). Known to this folder only. */
#ifndef STEWARD_HELPER_HELPER_H
#define STEWARD_HELPER_HELPER_H
#include "steward/helper/call.h"
#include "steward/helper/helpers.h"
#include "steward/helper/process.h"

enum {
	HELPER_BUCKETS = 256,
	HELPER_LATE_MAX = 16,          /* events overdue at once, beyond which it is replaced */
	HELPER_STEADY_MS = 10 * 1000,  /* who lived so long is started again at once */
	HELPER_RESTART_FIRST_MS = 100, /* the second time, then doubled */
	HELPER_RESTART_MAX_MS = 30 * 1000,
	HELPER_USEFUL_DEATHS = 4, /* of one that answers between them: it does not wait for longer than that many take */
	HELPER_IDLE_MS = 5000,    /* one that the config does not know any more ends after so long without an event */
};

enum helper_state { HELPER_DOWN, HELPER_RECORDING, HELPER_RUNNING, HELPER_ENDING };

struct helper {
	struct helpers *set;
	char service[SERVICE_NAME_SIZE];
	struct hook_order order;
	bool wanted; /* the config in force names it */
	enum helper_state state;
	struct helper_process *process; /* NULL: DOWN */
	uint64_t recorded;              /* what the book has to reach */
	uint64_t started_ms, not_before_ms;
	bool answered;   /* in this run */
	uint32_t deaths; /* in a row, without a steady life between */
	uint64_t last_id;
	struct call_list waiting, sent[HELPER_BUCKETS], late;
	uint32_t calls, late_count;
	uv_timer_t timer; /* DOWN: the next start; RUNNING: idle */
	struct helper *next;
};

int helper_new(struct helper **ret, struct helpers *set, const struct hook_order *order, const char *service); /* 0 or -ENOMEM */
void helper_on_book(struct helper *helper); /* what was to be written may have been */
void helper_want(struct helper *helper, bool wanted);
void helper_finish(struct helper *helper); /* the end of its input; it is DOWN later */
bool helper_is_late(const struct helper *helper, uint64_t fence);
void helper_close(struct helper *helper); /* out of the list already; freed later */

/* For call.c: there is something to tell it. It is of no use any more. An event of it is no more. */
void helper_tell(struct helper *helper);
void helper_replace(struct helper *helper, const char *why, const char *beginning);
void helper_dropped(struct helper *helper);

#endif
