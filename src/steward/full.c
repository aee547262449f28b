/* What becomes of clients of a full service: who waits for a place, or has been told busy by acquire, is tried once more when
 * those who hold have been asked whether they live (reclaim/reclaims.h). */
#include "steward/log/log.h"
#include "steward/steward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static const struct plan_service *by_name(const struct steward *s, const char *name)
{
	const struct plan *plan = &s->roster.plan;

	for (uint32_t i = 0; plan->header && i < plan->header->service_count; i++)
		if (strncmp(plan->services[i].name, name, sizeof plan->services[i].name) == 0)
			return &plan->services[i];
	return NULL;
}

/* False: nobody of it is asked. */
static bool terms(const struct steward *s, const char *name, struct reclaim_terms *ret)
{
	const struct service_config *config = s->config ? config_service(s->config, name) : NULL;
	const struct plan_service *plan = by_name(s, name);

	if (!config || !plan || !config->reclaim_timeout_ms)
		return false;
	*ret = (struct reclaim_terms){
		.service_id = plan->id,
		.service = config->name,
		.timeout_ms = config->reclaim_timeout_ms,
		.release_timeout_ms = config->release.timeout_ms,
	};
	return true;
}

/* Whose places are full: those of a client, or of the whole service. */
static const struct endpoint *full_for(const struct slot *slot)
{
	return slot->full == EUSERS ? &slot->record.client : NULL;
}

/* Where nobody is to be asked, who waits came while sessions moved from relay to relay (relay/place.c). */
static bool asks_holders(const struct steward *s, const char *name)
{
	const struct plan_service *plan = by_name(s, name);

	return plan && plan->on_limit == ON_LIMIT_RECLAIM;
}

void steward_on_full(struct steward *s, const struct session_key *key, const struct slot *slot)
{
	const struct session_record *record = &slot->record;
	struct reclaim_terms t;

	if (!terms(s, record->service, &t) || t.service_id != record->service_id || !asks_holders(s, record->service) ||
		!reclaims_full(s->reclaims, &t, full_for(slot)))
		roster_room(&s->roster, key);
}

bool steward_on_busy(struct steward *s, const struct session_key *key, const struct session_record *record)
{
	struct reclaim_terms t;

	return s->phase < PHASE_STOPPING && terms(s, record->service, &t) && reclaims_busy(s->reclaims, &t, key, record);
}

static bool ask(void *context, uint32_t relay, const struct message_reclaim *order)
{
	struct steward *s = context;

	return roster_reclaim(&s->roster, relay, order);
}

struct waiting {
	struct session_key key;
	uint64_t started_us;
};

struct waiters {
	struct roster *roster;
	const struct message_reclaim *order;
	struct waiting *list;
	size_t count, room;
};

static void collect(void *visitor, const struct session_key *key, const struct slot *slot)
{
	struct waiters *w = visitor;

	if (atomic_load(&slot->state) != SLOT_WAITING ||
		!reclaims_is_for(w->order, slot->record.service_id, HOLDERS_COUNTED, full_for(slot)))
		return;
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		struct waiting *more = realloc(w->list, room * sizeof *more);

		if (!more) {
			log_line(LOG_ERR, "no memory for all who wait for a place");
			roster_room(w->roster, key); /* out of turn */
			return;
		}
		w->list = more;
		w->room = room;
	}
	w->list[w->count++] = (struct waiting){*key, slot->record.started_us};
}

static int compare_age(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return (x->started_us > y->started_us) - (x->started_us < y->started_us);
}

static void try_places(void *context, const struct message_reclaim *order)
{
	struct steward *s = context;
	struct waiters w = {.roster = &s->roster, .order = order};

	roster_each_live(&s->roster, collect, &w);
	qsort(w.list, w.count, sizeof *w.list, compare_age);
	for (size_t i = 0; i < w.count; i++)
		roster_room(&s->roster, &w.list[i].key);
	free(w.list);
}

static void acquire_again(void *context, const struct session_key *key, const struct session_record *record)
{
	struct steward *s = context;

	leases_acquire_again(s->leases, key, record);
}

static void refuse_busy(void *context, const struct session_key *key, const struct session_record *record)
{
	struct steward *s = context;

	leases_refuse_busy(s->leases, key, record);
}

static uint32_t giving_back(void *context, const char *service)
{
	struct steward *s = context;

	return leases_giving_back(s->leases, service);
}

static const struct reclaims_host host = {
	.ask = ask,
	.try_places = try_places,
	.acquire_again = acquire_again,
	.refuse_busy = refuse_busy,
	.giving_back = giving_back,
};

int steward_open_reclaims(struct steward *s)
{
	return reclaims_new(&s->reclaims, &s->loop, &host, s);
}
