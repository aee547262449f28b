#include "steward/lease/leases.h"

#include "steward/lease/set.h"
#include "steward/log/log.h"

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

struct lease *leases_first_in_bucket(struct leases *leases, uint64_t id)
{
	return *bucket_of(leases, id);
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
