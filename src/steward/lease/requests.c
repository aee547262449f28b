/* What relays ask for their sessions: leases, and their ends. */
#include "steward/lease/leases.h"

#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void answer_at_once(
	struct leases *leases, const struct session_key *key, enum verdict verdict, enum who who, enum how how, int error)
{
	leases_owe_verdict(leases, key,
		&(struct message_verdict){
			.id = key->id,
			.slot = key->slot,
			.verdict = verdict,
			.reason = {.who = (uint8_t)who,
				.how = (uint8_t)how,
				.operation = verdict == VERDICT_GO ? 0 : OPERATION_ACCEPT,
				.state = verdict == VERDICT_GO ? 0 : SLOT_ACQUIRING,
				.error = error},
		});
}

/* Nothing is held for it: it goes on so, or is refused, as on_error says. config: NULL where the service has gone. */
static void answer_without(
	struct leases *leases, const struct session_key *key, const struct service_config *config, enum how how)
{
	if (config && config->acquire.allow_on_error)
		answer_at_once(leases, key, VERDICT_GO, WHO_NONE, HOW_NONE, 0);
	else
		answer_at_once(leases, key, VERDICT_REFUSE, WHO_HOOK, how, 0);
}

/* True: dealt with by a lease that there is. Otherwise *predecessor is what must be given back first, or NULL. */
static bool acquire_known(struct leases *leases, const struct session_key *key, struct lease **predecessor)
{
	struct lease *lease = leases_find(leases, key);
	*predecessor = lease;
	if (!lease)
		return false;
	assert(lease->phase != PHASE_LOADED); /* leases_recover comes first */
	switch (lease->phase) {
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
		if (lease->over)
			break;
		lease->wanted = true;
		return true;
	case PHASE_HELD:
		lease_answer_held(lease);
		return true;
	case PHASE_BACKOFF:
		answer_at_once(leases, key, VERDICT_REFUSE, WHO_HOOK, HOW_FAILED, 0);
		return true;
	case PHASE_LOADED:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
	case PHASE_GONE:
		break;
	}
	return false;
}

static void acquire(struct leases *leases, const struct session_key *key, const char *service,
	const struct session_record *record, bool last_try)
{
	struct lease *predecessor;
	if (acquire_known(leases, key, &predecessor))
		return;
	const struct service_config *config = leases->config ? config_service(leases->config, service) : NULL;
	if (leases->stopping || !config) {
		if (!config)
			log_session_line(LOG_WARNING, service, key->id, "refused: the service is no longer in the config");
		answer_at_once(leases, key, VERDICT_REFUSE, WHO_SYSTEM, config ? HOW_SHUTDOWN : HOW_FAILED, 0);
		return;
	}
	if (!service_has_lease(config)) {
		answer_at_once(leases, key, VERDICT_GO, WHO_NONE, HOW_NONE, 0);
		return;
	}
	/* Without a lease, so that nothing is forked and nothing written for it. */
	struct cooldown *cooldown = lease_must(leases_cooldown(leases, service));
	if (config->acquire.command && cooldown_is_cold(cooldown, config->acquire.cooldown_ms, uv_now(leases->loop))) {
		cooldown->refused++;
		answer_without(leases, key, config, HOW_FAILED);
		return;
	}
	struct lease *lease = leases_add(leases, key);
	if (!lease || hook_order_copy(&lease->acquire, &config->acquire, leases->state_directory) ||
		hook_order_copy(&lease->record.connected, &config->connected, leases->state_directory) ||
		hook_order_copy(&lease->record.renew, &config->renew, leases->state_directory) ||
		hook_order_copy(&lease->record.release, &config->release, leases->state_directory)) {
		log_line(LOG_CRIT, "out of memory");
		abort(); /* what is half done is found in the store at the next start */
	}
	lease->acquire_queue = config->acquire.queue;
	lease->allow_on_error = config->acquire.allow_on_error;
	lease->cooldown_ms = config->acquire.cooldown_ms;
	lease->wanted = true;
	lease->last_try = last_try;
	lease->record.tree = leases->tree;
	lease->record.session = *record;
	lease->record.session.id = key->id;
	lease->record.session.reason = (struct reason){0};
	snprintf(lease->record.session.service, sizeof lease->record.session.service, "%s", service);
	lease->record.fence = lease->item.fence = store_next_fence(leases->store);
	lease->record.session.fence = lease->item.fence;
	if (predecessor)
		lease_wait(lease, predecessor);
	else
		lease_begin(lease);
}

void leases_connected(struct leases *leases, const struct session_key *key, const struct session_record *record)
{
	struct lease *lease = leases_find(leases, key);
	if (lease)
		lease_connected(lease, record);
}

void leases_acquire(
	struct leases *leases, const struct session_key *key, const char *service, const struct session_record *record)
{
	acquire(leases, key, service, record, false);
}

void leases_acquire_again(struct leases *leases, const struct session_key *key, const struct session_record *record)
{
	acquire(leases, key, record->service, record, true);
}

void leases_refuse_busy(struct leases *leases, const struct session_key *key, const struct session_record *record)
{
	answer_without(leases, key, leases->config ? config_service(leases->config, record->service) : NULL, HOW_LIMIT);
}

uint32_t leases_giving_back(const struct leases *leases, const char *service)
{
	uint32_t count = 0;
	for (const struct lease *lease = leases->all; lease; lease = lease->next)
		if (lease_is_given_back(lease) && !strcmp(lease->record.session.service, service))
			count++;
	return count;
}

void leases_end(struct leases *leases, const struct session_key *key, const struct session_record *record, bool recovered)
{
	struct lease *lease = leases_find(leases, key);
	if (lease)
		lease_end(lease, record, recovered);
	else
		leases_owe_durable(leases, key); /* it never had one, or that was given back already */
}

bool leases_is_queued(struct leases *leases, const struct session_key *key)
{
	const struct lease *lease = leases_find(leases, key);
	return lease && (lease->phase == PHASE_BEHIND || lease->phase == PHASE_QUEUED);
}
