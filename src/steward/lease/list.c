/* What people ask of leases: how many, which, and what became of those that are gone. */
#include "base/clock.h"
#include "steward/lease/ended.h"
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

struct lease_counts leases_counts(const struct leases *leases)
{
	struct lease_counts counts = {0};
	for (const struct lease *lease = leases->all; lease; lease = lease->next) {
		switch (lease->phase) {
		case PHASE_BEHIND:
		case PHASE_QUEUED:
		case PHASE_OPENING:
		case PHASE_ACQUIRING:
		case PHASE_CONFIRMING:
			counts.acquiring++;
			break;
		case PHASE_HELD:
			counts.held++;
			break;
		case PHASE_LOADED:
		case PHASE_ENDING:
		case PHASE_TURN:
		case PHASE_STARTING:
		case PHASE_RELEASING:
		case PHASE_BACKOFF:
			counts.releasing++;
			counts.failed += lease->record.state == LEASE_FAILED;
			break;
		case PHASE_LEAVING:
		case PHASE_GONE:
			break;
		}
	}
	return counts;
}

bool leases_name_users(const struct leases *leases)
{
	for (const struct lease *lease = leases->all; lease; lease = lease->next) {
		const struct lease_record *record = &lease->record;
		if (record->connected.user.other || record->renew.user.other || record->release.user.other)
			return true;
	}
	return false;
}

static json_t *describe(const struct lease *lease)
{
	const struct lease_record *record = &lease->record;
	uint64_t now_us = clock_real_us(), since_us = record->acquired_us ? record->acquired_us : record->session.started_us;
	json_t *object = ended_describe(record);
	if (!object)
		return NULL;
	json_object_set_new(object, "state", json_string(life_state_word(record->state)));
	json_object_set_new(object, "age_ms", json_integer(now_us > since_us ? (json_int_t)((now_us - since_us) / 1000) : 0));
	if (lease->phase == PHASE_BACKOFF && uv_is_active((const uv_handle_t *)&lease->timer))
		json_object_set_new(object, "next_try_ms", json_integer((json_int_t)uv_timer_get_due_in(&lease->timer)));
	if (record->why) {
		json_t *why = json_string(record->why);
		json_object_set_new(object, "why", why ? why : json_string("?"));
	}
	return object;
}

static bool is_asked_for(const struct lease *lease, const struct lease_query *query)
{
	char client[ENDPOINT_TEXT];
	endpoint_format_host(&lease->record.session.client, client);
	return lease->record.state != LEASE_GONE &&
	       (!query->service[0] || !strcmp(query->service, lease->record.session.service)) &&
	       (!query->client[0] || !strcmp(query->client, client));
}

bool leases_walk(const struct leases *leases, const struct lease_query *query, uint32_t *cursor,
	void (*visit)(void *context, json_t *lease), void *context)
{
	if (*cursor >= LEASE_BUCKETS)
		return false;
	for (const struct lease *lease = leases->bucket[*cursor]; lease; lease = lease->next_in_bucket)
		if (is_asked_for(lease, query))
			visit(context, describe(lease));
	++*cursor;
	return true;
}

int leases_release_now(struct leases *leases, uint64_t fence)
{
	struct lease *lease = leases->all;
	while (lease && lease->item.fence != fence)
		lease = lease->next;
	if (!lease || lease->record.state == LEASE_GONE)
		return -ENOENT;
	switch (lease->phase) {
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
	case PHASE_HELD:
		return -EBUSY;
	case PHASE_LOADED:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
	case PHASE_GONE:
		return -EALREADY;
	case PHASE_BACKOFF:
		break;
	}
	if (leases->stopping)
		return -ESHUTDOWN;
	LEASE_LOG(lease, LOG_NOTICE, "release is tried now, by request of the control socket");
	lease_retry_now(lease);
	return 0;
}

void leases_ask_history(struct leases *leases, struct store_question *question)
{
	store_ask(leases->store, question);
}
