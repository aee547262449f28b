/* What a predecessor left: its hooks are ended, then each of its leases is judged. */
#include "base/clock.h"
#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	MAX_FENCE_AHEAD_S = 24 * 3600, /* a fence that a ledger claims is believed if it is no newer than that */
};

static void release_recovered(struct lease *lease, enum who who, enum how how)
{
	if (!lease->record.ended) {
		lease->record.recovered = true;
		lease->record.session.reason = (struct reason){.who = (uint8_t)who, .how = (uint8_t)how};
	}
	lease_release(lease);
}

static void judge(struct leases *leases, struct lease *lease)
{
	struct lease_record *record = &lease->record;
	struct slot slot;
	bool lives = record->tree == leases->tree && leases->lives(leases->context, &record->key, &slot);

	switch (record->state) {
	case LEASE_RELEASING:
	case LEASE_FAILED:
		lease_release(lease);
		return;
	case LEASE_INTENT:
		lease_move(lease, LEASE_EVENT_CUT_OFF);
		if (lives && !record->ended && slot.state != SLOT_ACQUIRING) {
			lease_hold(lease, true); /* it is ending: the relay says how, again */
			return;
		}
		/* If its client still waits it is asked for again, and served by a new lease once this one is given back. */
		release_recovered(lease, lives ? WHO_HOOK : WHO_SYSTEM, lives ? HOW_FAILED : HOW_LOST);
		return;
	case LEASE_HELD:
	case LEASE_UNKNOWN:
		if (lives && !record->ended) {
			lease_hold(lease, false);
			if (slot.record.connected_ms && slot_is_connected(&slot)) /* perhaps nobody heard of it */
				lease_connected(lease, &slot.record);
		} else {
			release_recovered(lease, WHO_SYSTEM, HOW_LOST);
		}
		return;
	case LEASE_NEW:
	case LEASE_GONE:
	case LEASE_STATES:
		break; /* no row says so */
	}
}

/* A living session whose lease the store does not know. */
static void put_back(void *visitor, const struct session_key *key, const struct slot *slot)
{
	struct leases *leases = visitor;
	uint64_t fence = slot->record.fence;
	/* In a store that was not lost a session without a row that waits to be freed was released, and was not told so. */
	bool over = slot->state == SLOT_RELEASING;
	if (!fence || slot->state == SLOT_FREE || (over && !store_is_new(leases->store)) || leases_find(leases, key))
		return;
	char service[SERVICE_NAME_SIZE];
	memcpy(service, slot->record.service, sizeof service);
	service[sizeof service - 1] = '\0';
	for (const struct lease *other = leases->all; other; other = other->next) {
		if (other->item.fence == fence && other->record.key.id == key->id)
			return; /* its relay will say that it has it from another */
		if (other->item.fence == fence)
			fence = 0;
	}
	if (!fence || fence > clock_real_us() + MAX_FENCE_AHEAD_S * 1000000ull) {
		log_session_line(LOG_ERR, service, key->id,
			"its lease %" PRIx64 " is unknown and cannot be its own: not put back", slot->record.fence);
		return;
	}
	const struct service_config *config = leases->config ? config_service(leases->config, service) : NULL;
	if (!config || !config->release.command) {
		log_session_line(config ? LOG_NOTICE : LOG_ERR, service, key->id, "its lease %" PRIx64 " is unknown, and %s",
			fence,
			config ? "there is nothing to release"
			       : "its service is not in the config: it must be given back by hand");
		return;
	}
	struct lease *lease = leases_add(leases, key);
	if (!lease || hook_order_copy(&lease->record.renew, &config->renew, leases->state_directory) ||
		hook_order_copy(&lease->record.release, &config->release, leases->state_directory)) {
		log_line(LOG_CRIT, "out of memory");
		abort(); /* the next start does this again */
	}
	lease->record.tree = leases->tree;
	lease->record.session = slot->record;
	memcpy(lease->record.session.service, service, sizeof service);
	lease->record.route = slot->route;
	lease->record.acquired_us = slot->record.started_us; /* within its acquire's time */
	lease->record.fence = lease->item.fence = fence;
	log_session_line(LOG_WARNING, service, key->id, "its lease %" PRIx64 " was lost with the store and is put back", fence);
	lease_move(lease, LEASE_EVENT_PUT_BACK);
	lease_hold(lease, true);
}

static void on_groups_gone(struct leftover_groups *leftover)
{
	struct leases *leases = leftover->timer.data;
	if (leases->callbacks->on_quiet)
		leases->callbacks->on_quiet(leases->context);
	for (struct lease *lease = leases->all, *next; lease; lease = next) {
		next = lease->next; /* judging frees none but this, and makes none */
		if (lease->phase == PHASE_LOADED)
			judge(leases, lease);
	}
	if (leases->each_live)
		leases->each_live(leases->context, put_back, leases);
	leases->on_recovered(leases->context);
}

/* No relay said that it is over, and none will: what stood for it in a ledger was overwritten, or freed without a word. */
static void end_forgotten(struct lease *lease)
{
	struct session_record record = lease->record.session;
	LEASE_LOG(lease, LOG_ERR, "it stands in no ledger any more, and nobody said that it is over: its lease is given back");
	record.reason = (struct reason){.who = WHO_SYSTEM, .how = HOW_LOST};
	lease_end(lease, &record, true);
}

void leases_missed(struct leases *leases, const struct session_key *key)
{
	struct lease *lease = leases_find(leases, key);
	if (lease)
		end_forgotten(lease);
}

void leases_check(struct leases *leases)
{
	struct slot slot;
	for (unsigned i = 0; i < LEASE_BUCKETS / LEASE_CHECK_CALLS; i++) {
		struct lease *lease = leases->bucket[leases->check_next];
		leases->check_next = (leases->check_next + 1) % LEASE_BUCKETS;
		for (; lease; lease = lease->next_in_bucket) /* ending one waits for the store first, so it stays in its place */
			if (lease->phase == PHASE_HELD && lease->record.tree == leases->tree &&
				!leases->lives(leases->context, &lease->record.key, &slot))
				end_forgotten(lease);
	}
}

void leases_recover(struct leases *leases, bool (*lives)(void *context, const struct session_key *key, struct slot *ret),
	lease_each_live each_live, void (*on_done)(void *context))
{
	leases->lives = lives;
	leases->each_live = each_live;
	leases->on_recovered = on_done;
	for (struct lease *lease = leases->all; lease; lease = lease->next) {
		if (!lease->record.hook.pid || !process_group_lives(&lease->record.hook))
			continue;
		log_session_line(LOG_NOTICE, lease->record.session.service, lease->record.key.id,
			"a hook of an earlier steward still runs (process group %d): it is ended", (int)lease->record.hook.pid);
		if (leftover_groups_add(&leases->leftover, &lease->record.hook)) {
			log_line(LOG_CRIT, "out of memory");
			abort();
		}
	}
	int r = helpers_add_leftover(&leases->helpers, &leases->leftover);
	if (r)
		log_line(LOG_ERR, "%s/helpers cannot be read (%s); a helper of an earlier steward may still run",
			leases->state_directory, strerror(-r));
	leftover_groups_start(&leases->leftover, on_groups_gone);
}
