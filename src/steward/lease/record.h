/* What the store keeps of a lease: all that a later steward needs to judge and release it without the config of that time.
 * Owner: struct lease; ends by lease_record_fini. */
#ifndef STEWARD_LEASE_RECORD_H
#define STEWARD_LEASE_RECORD_H
#include "steward/hook/order.h"
#include "steward/hook/process_group.h"
#include "steward/lease/leases.h"
#include "steward/lease/life.h"

struct lease_record {
	uint64_t fence, tree;
	struct session_key key;
	struct session_record session; /* as accepted; once it has ended, as ended */
	enum lease_state state;
	bool unknown;   /* whether acquire took it: it came by that state */
	bool ended;     /* session says how */
	bool recovered; /* nobody told of the end */
	struct hook_order connected, renew, release;
	bool was_connected;             /* connected was run, or began to be */
	bool connecting;                /* it began, and how it ended is not known yet */
	uint32_t renewals;              /* begun */
	uint64_t renewed_us;            /* when the last of them began; real time, 0: none */
	struct process_group hook;      /* of the hook that may be running; pid 0: none */
	char **variables;               /* "KEY=VALUE" that acquire printed, or NULL */
	struct endpoint route;          /* that acquire named, or AF_UNSPEC */
	uint32_t attempts;              /* releases begun */
	uint64_t acquired_us, ended_us; /* when it was, and when that its session is over was heard; real time, 0: not yet */
	char *why;                      /* the last release failed, or NULL */
};

/* As JSON text, malloc(3)ed; NULL: out of memory. */
char *lease_record_encode(const struct lease_record *record);

/* 0; -EINVAL: it is none of ours; -ENOMEM. */
int lease_record_decode(struct lease_record *ret, const char *text);
void lease_record_fini(struct lease_record *record);

#endif
