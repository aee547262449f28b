#include "lease_fixture.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct service_config *config_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (!strcmp(config->services[i].name, name))
			return &config->services[i];
	return NULL;
}

static void on_verdict(void *context, const struct session_key *key, const struct message_verdict *verdict)
{
	struct fixture *f = context;
	f->verdict[key->id] = *verdict;
	f->verdicts[key->id]++;
	f->slot[key->id].record.fence = verdict->fence;
	if (verdict->verdict == VERDICT_GO)
		f->slot[key->id].state = SLOT_RELAYING;
}

static void on_end_durable(void *context, const struct session_key *key)
{
	struct fixture *f = context;
	f->durables[key->id]++;
	f->slot[key->id].state = SLOT_FREE;
}

static void on_stopped(void *context)
{
	((struct fixture *)context)->stopped = true;
}

static void on_end_session(void *context, const struct session_key *key, const struct reason *reason)
{
	struct fixture *f = context;
	f->told_to_end[key->id] = *reason;
}

static bool on_busy(void *context, const struct session_key *key, const struct session_record *record)
{
	struct fixture *f = context;
	assert_int_equal(record->id, key->id);
	f->busy++;
	return f->keep_busy;
}

static void on_given_back(void *context, const char *service)
{
	assert_string_equal(service, "seats");
	((struct fixture *)context)->given_back++;
}

static const struct lease_callbacks callbacks = {
	.on_verdict = on_verdict,
	.on_end_durable = on_end_durable,
	.on_end_session = on_end_session,
	.on_stopped = on_stopped,
	.on_busy = on_busy,
	.on_given_back = on_given_back,
};

struct session_key fixture_key(unsigned session)
{
	return (struct session_key){.relay = 1, .incarnation = 2, .slot = session, .id = session};
}

static char **shell(const struct fixture *f, const char *text)
{
	char **command = calloc(4, sizeof *command), *script;
	assert_non_null(command);
	assert_true(asprintf(&script, "J=%s/journal; %s", f->directory, text) > 0);
	command[0] = strdup("/bin/sh");
	command[1] = strdup("-c");
	command[2] = script;
	return command;
}

static void set_hook(const struct fixture *f, struct hook_config *hook, const char *text)
{
	for (char **word = hook->command; word && *word; word++)
		free(*word);
	free(hook->command);
	hook->command = text ? shell(f, text) : NULL;
}

void fixture_hooks(struct fixture *f, const char *acquire, const char *release)
{
	set_hook(f, &f->service.acquire, acquire);
	set_hook(f, &f->service.release, release);
}

void fixture_held_hooks(struct fixture *f, const char *connected, const char *renew)
{
	set_hook(f, &f->service.connected, connected);
	set_hook(f, &f->service.renew, renew);
}

void fixture_open(struct fixture *f, const char *acquire, const char *release)
{
	*f = (struct fixture){.directory = "/tmp/lease-test-XXXXXX"};
	assert_non_null(mkdtemp(f->directory));
	f->service.acquire = f->service.connected = f->service.renew = f->service.release =
		(struct hook_config){.timeout_ms = 5000, .concurrency = 32, .queue = 1024, .umask = -1};
	snprintf(f->service.name, sizeof f->service.name, "seats");
	f->config.services = &f->service;
	f->config.service_count = 1;
	fixture_hooks(f, acquire, release);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat, (void)type, (void)walk;
	return remove(path);
}

void fixture_close(struct fixture *f)
{
	if (f->leases)
		fixture_crash(f);
	fixture_hooks(f, NULL, NULL);
	fixture_held_hooks(f, NULL, NULL);
	nftw(f->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static bool lives(void *context, const struct session_key *key, struct slot *ret)
{
	struct fixture *f = context;
	if (f->slot[key->id].state == SLOT_FREE)
		return false;
	memcpy(ret, &f->slot[key->id], sizeof *ret);
	return true;
}

static void each_live(
	void *context, void (*visit)(void *visitor, const struct session_key *key, const struct slot *slot), void *visitor)
{
	struct fixture *f = context;
	for (unsigned i = 1; i < FIXTURE_SESSIONS; i++) {
		struct session_key key = fixture_key(i);
		if (f->slot[i].state != SLOT_FREE)
			visit(visitor, &key, &f->slot[i]);
	}
}

static void on_recovered(void *context)
{
	((struct fixture *)context)->recovered = true;
}

void fixture_start(struct fixture *f)
{
	char error[MESSAGE_TEXT_SIZE] = "";
	f->recovered = f->stopped = false;
	assert_int_equal(uv_loop_init(&f->loop), 0);
	if (leases_new(&f->leases, &f->loop, f->directory, FIXTURE_TREE, &callbacks, f, error))
		fail_msg("%s", error);
	leases_configure(f->leases, &f->config);
	leases_recover(f->leases, lives, each_live, on_recovered);
	fixture_until(f, f->recovered);
}

void fixture_crash(struct fixture *f)
{
	leases_free(f->leases);
	f->leases = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
}

void fixture_acquire(struct fixture *f, unsigned session)
{
	struct session_key key = fixture_key(session);
	struct slot *slot = &f->slot[session];
	slot->state = SLOT_ACQUIRING;
	slot->record.id = session;
	slot->record.client = (struct endpoint){.family = AF_INET, .port = 4000, .ip = {192, 0, 2, 7}};
	slot->record.local = (struct endpoint){.family = AF_INET6, .port = 80, .ip = {[15] = 1}};
	slot->record.started_ms = 1000;
	snprintf(slot->record.service, sizeof slot->record.service, "seats");
	leases_acquire(f->leases, &key, "seats", &slot->record);
}

void fixture_end(struct fixture *f, unsigned session)
{
	struct session_key key = fixture_key(session);
	struct session_record *record = &f->slot[session].record;
	f->slot[session].state = SLOT_RELEASING;
	record->ended_ms = 3500;
	record->bytes[SIDE_CLIENT] = 11;
	record->bytes[SIDE_BACKEND] = 22;
	record->undelivered[SIDE_CLIENT] = 33;
	record->undelivered[SIDE_BACKEND] = 44;
	record->backend = (struct endpoint){.family = AF_INET, .port = 9000, .ip = {198, 51, 100, 3}};
	record->reason =
		(struct reason){.who = WHO_CLIENT, .how = HOW_RESET, .operation = OPERATION_RECEIVE, .error = ECONNRESET};
	leases_end(f->leases, &key, record, false);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

bool fixture_turn(struct fixture *f, uint64_t deadline_ms)
{
	uv_timer_t tick;
	uv_timer_init(&f->loop, &tick);
	uv_timer_start(&tick, on_tick, 5, 0);
	uv_run(&f->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	return uv_hrtime() / 1000000 < deadline_ms;
}

const char *fixture_journal(struct fixture *f)
{
	static char text[65536];
	char path[96];
	snprintf(path, sizeof path, "%s/journal", f->directory);
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
	text[n] = '\0';
	if (file)
		fclose(file);
	return text;
}

unsigned fixture_count(struct fixture *f, const char *part)
{
	unsigned count = 0;
	for (const char *at = fixture_journal(f); (at = strstr(at, part)); at++)
		count++;
	return count;
}
