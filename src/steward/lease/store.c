#include "steward/lease/store.h"

#include "base/clock.h"
#include "steward/lease/database.h"
#include "steward/log/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum {
	BATCH_MAX = 4096,
	RETRY_FIRST_MS = 100,
	RETRY_MAX_MS = 5000,
	TELL_EVERY_MS = 60000,
};

struct store {
	uv_loop_t *loop;
	const struct store_callbacks *callbacks;
	void *context;
	struct database database;        /* the pool's while `working` */
	struct store_item *first, *last; /* queued, oldest first */
	uv_work_t work;
	uv_timer_t timer; /* the next try */
	bool working, closing, new;
	bool told; /* that it cannot be written */
	uint64_t last_fence;
	int error;
	uint64_t retry_ms, told_ms;

	/* the batch under way */
	struct store_item *items[BATCH_MAX];
	struct database_row rows[BATCH_MAX];
	uint64_t versions[BATCH_MAX];
	size_t count;
	uint64_t batch_fence;
	int result;

	struct store_question *questions, *answering;
};

static void unqueue(struct store *store, struct store_item *item)
{
	*(item->previous ? &item->previous->next : &store->first) = item->next;
	*(item->next ? &item->next->previous : &store->last) = item->previous;
	item->next = item->previous = NULL;
	item->queued = false;
}

static void enqueue(struct store *store, struct store_item *item)
{
	item->previous = store->last;
	item->next = NULL;
	*(store->last ? &store->last->next : &store->first) = item;
	store->last = item;
	item->queued = true;
}

static void free_row(const struct database_row *row)
{
	free((void *)(uintptr_t)row->record);
	free((void *)(uintptr_t)row->ended);
}

/* What was asked for last is asked for no more. */
static void forget_wish(struct store_item *item)
{
	free(item->record);
	free(item->ended);
	item->record = NULL;
	item->ended = NULL;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish_close(struct store *store)
{
	database_close(&store->database);
	uv_close((uv_handle_t *)&store->timer, on_closed);
}

void store_question_free(struct store_question *question)
{
	for (size_t i = 0; i < question->count; i++)
		free(question->texts[i]);
	free(question->texts);
	free(question);
}

static void answer(struct store_question *question)
{
	if (question->on_done)
		question->on_done(question);
	else
		store_question_free(question);
}

static void on_work(uv_work_t *work)
{
	struct store *store = work->data;
	if (store->count)
		store->result = database_commit(&store->database, store->rows, store->count, store->batch_fence);
	struct store_question *question = store->answering;
	if (question)
		question->error = database_history(&store->database, &question->query, &question->texts, &question->count);
}

static void start_batch(struct store *store);

static void on_retry(uv_timer_t *timer)
{
	start_batch(timer->data);
}

/* What it was to write is asked for again, unless something newer was meanwhile. */
static void batch_failed(struct store *store)
{
	for (size_t i = 0; i < store->count; i++) {
		struct store_item *item = store->items[i];
		item->busy = false;
		if (item->queued) {
			free_row(&store->rows[i]);
		} else {
			item->record = (char *)(uintptr_t)store->rows[i].record;
			item->ended = (struct ended *)(uintptr_t)store->rows[i].ended;
			enqueue(store, item);
		}
	}
	store->error = store->result;
	store->retry_ms = store->retry_ms ? store->retry_ms * 2 : RETRY_FIRST_MS;
	if (store->retry_ms > RETRY_MAX_MS)
		store->retry_ms = RETRY_MAX_MS;
	uint64_t now_ms = uv_now(store->loop);
	if (!store->told_ms || now_ms - store->told_ms >= TELL_EVERY_MS) {
		store->told_ms = now_ms ? now_ms : 1;
		store->told = true;
		log_line(LOG_ERR, "%s: cannot write: %s; no lease is taken or given back until it can be (is the disk full?)",
			store->database.path, store->database.text);
	}
	uv_timer_start(&store->timer, on_retry, store->retry_ms, 0);
}

static void batch_done(struct store *store)
{
	/* told_ms stays: a disk on the brink, that takes this and not the next, does not fill the log. */
	if (store->told)
		log_line(LOG_NOTICE, "%s: can be written again", store->database.path);
	store->told = false;
	store->error = 0;
	store->retry_ms = 0;

	/* A callback may free its own item and write others, but items of this batch that are still to come are busy until
	 * then. */
	for (size_t i = 0; i < store->count; i++) {
		struct store_item *item = store->items[i];
		free_row(&store->rows[i]);
		item->busy = false;
		item->durable = store->versions[i];
		store->callbacks->on_durable(store->context, item);
	}
}

static void on_worked(uv_work_t *work, int status)
{
	struct store *store = work->data;
	store->working = false;
	if (status == UV_ECANCELED)
		store->result = -ECANCELED;
	struct store_question *question = store->answering;
	store->answering = NULL;
	if (question && status == UV_ECANCELED)
		question->error = -ECANCELED;
	if (store->closing) {
		if (question)
			answer(question);
		for (size_t i = 0; i < store->count; i++)
			free_row(&store->rows[i]);
		finish_close(store);
		return;
	}
	bool lost = store->database.set_aside;
	if (lost) {
		store->database.set_aside = false;
		log_line(LOG_ERR, "%s: was damaged (%s) and is set aside as %s.corrupt-*; it is written anew from what is known",
			store->database.path, store->database.text, store->database.path);
	}
	store->working = true; /* what callbacks write waits for the end of this */
	if (store->count && store->result)
		batch_failed(store);
	else if (store->count)
		batch_done(store);
	if (lost)
		store->callbacks->on_lost(store->context);
	if (question)
		answer(question);
	store->working = false;
	start_batch(store);
}

static void start_batch(struct store *store)
{
	bool rows = store->first && !uv_is_active((uv_handle_t *)&store->timer);
	if (store->working || store->closing || (!rows && !store->questions))
		return;
	for (store->count = 0; rows && store->first && store->count < BATCH_MAX; store->count++) {
		struct store_item *item = store->first;
		unqueue(store, item);
		item->busy = true;
		store->items[store->count] = item;
		store->rows[store->count] = (struct database_row){item->fence, item->record, item->ended};
		store->versions[store->count] = item->asked;
		item->record = NULL;
		item->ended = NULL;
	}
	store->answering = store->questions;
	if (store->answering)
		store->questions = store->answering->next;
	store->batch_fence = store->last_fence;
	store->working = true;
	uv_queue_work(store->loop, &store->work, on_work, on_worked);
}

int store_open(struct store **ret, uv_loop_t *loop, const char *state_directory, const struct store_callbacks *callbacks,
	void *context, char error[MESSAGE_TEXT_SIZE])
{
	struct store *store = calloc(1, sizeof *store);
	if (!store) {
		snprintf(error, MESSAGE_TEXT_SIZE, "out of memory");
		return -ENOMEM;
	}
	store->loop = loop;
	store->callbacks = callbacks;
	store->context = context;
	int length = snprintf(store->database.path, sizeof store->database.path, "%s/leases.db", state_directory);
	int r = (size_t)length < sizeof store->database.path ? database_open(&store->database) : -ENAMETOOLONG;
	if (r) {
		snprintf(error, MESSAGE_TEXT_SIZE, "%.60s/leases.db: %.180s", state_directory,
			r == -ENAMETOOLONG ? "the path is too long"
			: r == -EBUSY      ? "another process has it open (an older tcpwarden, or sqlite3?)"
			: r == -EACCES ? "Permission denied (give it to the user that tcpwarden runs as: chown USER leases.db*)"
				       : store->database.text);
		free(store);
		return r;
	}
	if (store->database.set_aside) {
		store->database.set_aside = false;
		log_line(LOG_ERR,
			"%s: was damaged (%s) and is set aside as %s.corrupt-*; living sessions get new records, "
			"but what was held by sessions that are over must be given back by hand",
			store->database.path, store->database.text, store->database.path);
	}
	store->work.data = store->timer.data = store;
	uv_timer_init(loop, &store->timer);
	*ret = store;
	return 0;
}

int store_load(struct store *store, void (*on_row)(void *context, uint64_t fence, const char *record), void *context)
{
	assert(!store->working);
	uint64_t last;
	int r = database_load(&store->database, &last, on_row, context);
	if (r)
		return r;
	store->new = !last;
	if (last > store->last_fence)
		store->last_fence = last;
	return 0;
}

bool store_is_new(const struct store *store)
{
	return store->new;
}

uint64_t store_next_fence(struct store *store)
{
	uint64_t now_us = clock_real_us();
	store->last_fence = now_us > store->last_fence ? now_us : store->last_fence + 1;
	return store->last_fence;
}

static void wish(struct store *store, struct store_item *item, char *record, struct ended *ended)
{
	item->asked++;
	if (item->queued)
		forget_wish(item);
	else
		enqueue(store, item);
	item->record = record;
	item->ended = ended;
	start_batch(store);
}

void store_write(struct store *store, struct store_item *item, char *record)
{
	wish(store, item, record, NULL);
}

void store_remove(struct store *store, struct store_item *item, struct ended *ended)
{
	wish(store, item, NULL, ended);
}

void store_ask(struct store *store, struct store_question *question)
{
	struct store_question **at = &store->questions;
	while (*at)
		at = &(*at)->next;
	*at = question;
	question->next = NULL;
	start_batch(store);
}

bool store_withdraw(struct store *store, struct store_item *item)
{
	if (item->busy || item->durable || !item->queued)
		return false;
	unqueue(store, item);
	forget_wish(item);
	return true;
}

bool store_idle(const struct store_item *item)
{
	return !item->queued && !item->busy;
}

int store_error(const struct store *store)
{
	return store->error;
}

void store_close(struct store *store)
{
	store->closing = true;
	while (store->first) {
		struct store_item *item = store->first;
		unqueue(store, item);
		forget_wish(item);
	}
	while (store->questions) {
		struct store_question *question = store->questions;
		store->questions = question->next;
		question->error = -ECANCELED;
		answer(question);
	}
	uv_timer_stop(&store->timer);
	if (!store->working)
		finish_close(store);
}
