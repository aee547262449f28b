#include "wire/slot_check.h"

#include "wire/census.h"

#include <limits.h>
#include <string.h>

enum { RELAY_BITS = 6 };

static bool is_endpoint(const struct endpoint *e)
{
	return e->family == AF_UNSPEC || e->family == AF_INET || e->family == AF_INET6 || e->family == AF_UNIX;
}

static bool is_reason(const struct reason *r)
{
	return r->who < WHO_COUNT && r->how < HOW_COUNT && r->operation < OPERATION_COUNT && r->state < SLOT_STATES;
}

static bool is_policy(const struct policy *p)
{
	for (int s = 0; s < SIDES; s++) {
		const struct side_policy *side = &p->side[s];

		if (side->linger > LINGER_RESET || side->nodelay > 1 || side->keepalive_idle_s > SHRT_MAX ||
			side->keepalive_interval_s > SHRT_MAX || side->keepalive_count > SCHAR_MAX)
			return false;
	}
	return p->on_failure <= END_CLOSE && p->on_connect_failure <= END_CLOSE && p->on_policy_end <= END_CLOSE &&
	       p->on_backend_gone <= BACKEND_GONE_RESET && p->abort_on_close <= 1 && p->hooked <= 1;
}

static_assert(
	(int)LEDGER_RELAYS == (int)CENSUS_RELAYS && (int)LEDGER_RELAYS == 1 << (int)RELAY_BITS, "a session's id names its relay");

/* Accepted there, or come from elsewhere. */
static bool is_of_relay(const struct slot *slot, uint32_t relay)
{
	return (slot_is_own(slot, relay) || slot->from.offer) && slot->record.id >> RELAY_BITS;
}

static bool is_way(const struct slot_way *way)
{
	return way->relay < LEDGER_RELAYS && way->whole <= 1;
}

static bool is_record(const struct session_record *record)
{
	return is_endpoint(&record->client) && is_endpoint(&record->local) && is_endpoint(&record->backend) &&
	       is_endpoint(&record->source) && record->service_id < CENSUS_SERVICES && record->backend_id < CENSUS_BACKENDS &&
	       record->service[0] && memchr(record->service, '\0', sizeof record->service);
}

static bool is_side(const struct slot *slot, enum side s)
{
	return slot->fd[s] >= -1 && slot->pipe[s] >= -1 && slot->pipe[s] < LEDGER_PIPES && slot->flow[s] <= FLOW_CUT_SHUT &&
	       slot->ending[s] <= ENDING_NOW && slot->side_end[s] <= SIDE_FAILED && slot->side_operation[s] < OPERATION_COUNT &&
	       (slot->given_base[s] == 0 || slot->given_base[s] == 1) && slot->past_mark[s] >= 0;
}

const char *slot_wrong(const struct slot *slot, uint32_t relay, uint64_t now_ms)
{
	if (atomic_load_explicit(&slot->state, memory_order_relaxed) >= SLOT_STATES)
		return "its state is none";
	if (!is_of_relay(slot, relay))
		return "its session is none of this relay";
	if (!is_record(&slot->record))
		return "its record names no service, or addresses of no kind";
	if (!is_reason(&slot->record.reason))
		return "its reason is none";
	if (!is_policy(&slot->policy))
		return "its policy is none";
	if (!is_side(slot, SIDE_CLIENT) || !is_side(slot, SIDE_BACKEND))
		return "one of its sides is in no state that there is";
	if ((slot->counted & ~(COUNTED_SERVICE | COUNTED_BACKEND | COUNTED_CLIENT)) || slot->counted_service >= CENSUS_SERVICES ||
		slot->counted_backend >= CENSUS_BACKENDS || !is_endpoint(&slot->route))
		return "it counts for nothing that there is";
	if (!is_way(&slot->from) || !is_way(&slot->to))
		return "it came from or goes to no relay";
	if (slot->drain_who >= WHO_COUNT)
		return "no one drains it";
	if (slot->deadline_ms > now_ms + UINT32_MAX || slot->drain_ms > now_ms + UINT32_MAX) /* as long as any setting can say */
		return "its deadline is beyond all that can be set";
	return NULL;
}
