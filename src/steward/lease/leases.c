#include "steward/lease/leases.h"

#include "steward/lease/set.h"
#include "steward/log/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* ---- what is owed ---- */

static void on_answers(uv_timer_t *timer)
{
	struct leases *leases = timer->data;
	answers_give(&leases->answers, leases->callbacks, leases->context);
	if (leases->stopping && !leases->busy && !leases->stopped_told && helpers_stop(&leases->helpers)) {
		leases->stopped_told = true;
		leases->callbacks->on_stopped(leases->context);
	}
}

static void wake(void *context)
{
	struct leases *leases = context;
	if (!uv_is_active((uv_handle_t *)&leases->answer_timer))
		uv_timer_start(&leases->answer_timer, on_answers, 0, 0);
}

void leases_owe_verdict(struct leases *leases, const struct session_key *key, const struct message_verdict *verdict)
{
	answers_owe(&leases->answers, key, verdict);
	wake(leases);
}

void leases_owe_durable(struct leases *leases, const struct session_key *key)
{
	answers_owe(&leases->answers, key, NULL);
	wake(leases);
}

/* ---- what leases ask of us ---- */

static bool is_busy(enum lease_phase phase)
{
	switch (phase) {
	case PHASE_LOADED:
	case PHASE_HELD:
	case PHASE_BACKOFF:
	case PHASE_GONE:
		return false;
	case PHASE_BEHIND:
	case PHASE_QUEUED:
	case PHASE_OPENING:
	case PHASE_ACQUIRING:
	case PHASE_CONFIRMING:
	case PHASE_ENDING:
	case PHASE_TURN:
	case PHASE_STARTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING:
		break;
	}
	return true;
}

void leases_phase_changed(struct leases *leases, enum lease_phase from, enum lease_phase to)
{
	leases->busy += is_busy(to);
	leases->busy -= is_busy(from);
	if (leases->stopping && !leases->busy)
		wake(leases);
}

struct hook_line *leases_line(struct leases *leases, const char *service, enum hook_event event)
{
	return service_lines_get(&leases->lines, leases->config, service, event);
}

struct cooldown *leases_cooldown(struct leases *leases, const char *service)
{
	return service_lines_cooldown(&leases->lines, leases->config, service);
}

/* ---- the lists ---- */

static struct lease **bucket_of(struct leases *leases, uint64_t id)
{
	return &leases->bucket[(id * 0x9e3779b97f4a7c15u) >> 50];
}

struct lease *leases_add(struct leases *leases, const struct session_key *key)
{
	struct lease *lease = calloc(1, sizeof *lease);
	if (!lease)
		return NULL;
	lease_init(lease, leases);
	lease->record.key = *key;
	lease->next = leases->all;
	if (leases->all)
		leases->all->previous = lease;
	leases->all = lease;
	struct lease **bucket = bucket_of(leases, key->id);
	lease->next_in_bucket = *bucket;
	*bucket = lease;
	return lease;
}

void leases_forget(struct leases *leases, struct lease *lease)
{
	*(lease->previous ? &lease->previous->next : &leases->all) = lease->next;
	if (lease->next)
		lease->next->previous = lease->previous;
	struct lease **at = bucket_of(leases, lease->record.key.id);
	while (*at != lease)
		at = &(*at)->next_in_bucket;
	*at = lease->next_in_bucket;
}

static bool same_session(const struct lease *lease, const struct leases *leases, const struct session_key *key)
{
	const struct session_key *mine = &lease->record.key;
	return lease->record.tree == leases->tree && mine->id == key->id && mine->slot == key->slot &&
	       mine->relay == key->relay && mine->incarnation == key->incarnation;
}

/* The newest: they are put in at the front. */
struct lease *leases_find(struct leases *leases, const struct session_key *key)
{
	struct lease *lease = *bucket_of(leases, key->id);
	while (lease && !same_session(lease, leases, key))
		lease = lease->next_in_bucket;
	return lease;
}

/* ---- the store ---- */

static void on_durable(void *context, struct store_item *item)
{
	(void)context;
	lease_on_durable((struct lease *)((char *)item - offsetof(struct lease, item)));
}

static void on_lost(void *context)
{
	struct leases *leases = context;
	for (struct lease *lease = leases->all; lease; lease = lease->next)
		if (lease->item.asked && lease->phase != PHASE_LEAVING)
			lease_save(lease);
}

static const struct store_callbacks store_callbacks = {on_durable, on_lost};

static void on_row(void *context, uint64_t fence, const char *text)
{
	struct leases *leases = context;
	struct lease_record record;
	int r = lease_record_decode(&record, text);
	struct lease *lease = r ? NULL : leases_add(leases, &record.key);
	if (!lease) {
		/* It stays in the store, for a person or for a version that can read it. */
		log_line(LOG_ERR, "%s/leases.db: lease %" PRIx64 " cannot be read (%s); what it holds must be given back by hand",
			leases->state_directory, fence, r == -EINVAL ? "not in a form that is known" : "out of memory");
		if (!r)
			lease_record_fini(&record);
		return;
	}
	lease->record = record;
	lease->record.fence = lease->item.fence = fence;
	lease->item.asked = lease->item.durable = 1;
}

/* ---- beginning ---- */

static void on_part_closed(void *context)
{
	struct leases *leases = context;
	if (--leases->handles)
		return;
	free(leases->state_directory);
	free(leases);
}

static void on_handle_closed(uv_handle_t *handle)
{
	on_part_closed(handle->data);
}

int leases_new(struct leases **ret, uv_loop_t *loop, const char *state_directory, uint64_t tree,
	const struct lease_callbacks *callbacks, void *context, char error[MESSAGE_TEXT_SIZE])
{
	struct leases *leases = calloc(1, sizeof *leases);
	if (!leases || !(leases->state_directory = strdup(state_directory))) {
		free(leases);
		snprintf(error, MESSAGE_TEXT_SIZE, "out of memory");
		return -ENOMEM;
	}
	leases->loop = loop;
	leases->callbacks = callbacks;
	leases->context = context;
	leases->tree = tree;
	answers_init(&leases->answers);
	int r = store_open(&leases->store, loop, state_directory, &store_callbacks, leases, error);
	if (r) {
		free(leases->state_directory);
		free(leases);
		return r;
	}
	uv_timer_init(loop, &leases->answer_timer);
	leftover_groups_init(&leases->leftover, loop);
	leases->answer_timer.data = leases->leftover.timer.data = leases;
	leases->handles = 3;
	if (helpers_init(&leases->helpers, loop, leases->state_directory, wake, leases)) {
		log_line(LOG_CRIT, "out of memory");
		abort();
	}
	if ((r = store_load(leases->store, on_row, leases))) {
		snprintf(error, MESSAGE_TEXT_SIZE, "%.100s/leases.db: cannot be read: %s", state_directory, strerror(-r));
		leases_free(leases);
		return r;
	}
	*ret = leases;
	return 0;
}

void leases_configure(struct leases *leases, const struct config *config)
{
	leases->config = config;
	service_lines_configure(&leases->lines, config);
	helpers_configure(&leases->helpers, config);
}

/* ---- what relays ask ---- */

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

/* ---- the end ---- */

void leases_stop(struct leases *leases)
{
	leases->stopping = true;
	/* Refusing one can begin no other, but it is freed; so can what stands behind it. */
	struct lease *lease = leases->all;
	while (lease) {
		struct lease *next = lease->next;
		if (lease->phase == PHASE_BEHIND || lease->phase == PHASE_QUEUED)
			lease_refuse_shutdown(lease);
		lease = next;
	}
	for (lease = leases->all; lease; lease = lease->next)
		lease_retry_now(lease);
	wake(leases);
}

void leases_free(struct leases *leases)
{
	store_close(leases->store);
	while (leases->all) {
		struct lease *lease = leases->all;
		leases_forget(leases, lease);
		lease_close(lease);
	}
	answers_fini(&leases->answers);
	service_lines_fini(&leases->lines);
	uv_close((uv_handle_t *)&leases->answer_timer, on_handle_closed);
	leftover_groups_close(&leases->leftover, on_handle_closed);
	helpers_close(&leases->helpers, on_part_closed);
}
