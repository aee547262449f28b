#include "steward_world.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 12 };

static const struct message_pair name = {OVERLAY_RELAY, 1};

struct overlay *steward_world_overlay(void)
{
	static struct overlay overlay;

	if (overlay.whole)
		return &overlay;
	overlay_init(&overlay);
	for (uint32_t i = 0; i < OVERLAY_SESSIONS; i++)
		overlay_session(&overlay, i, (enum slot_state)(SLOT_REFUSING + i % (SLOT_STATES - 1)));
	for (uint64_t n = 1; n < 8; n++) {
		struct ledger_event *e = &overlay.ledger.events[n];

		e->kind = n & 1 ? EVENT_CONNECTED : EVENT_ENDED;
		e->slot = (uint32_t)n % OVERLAY_SESSIONS;
		e->record = overlay.ledger.slots[e->slot].record;
		e->record.fence = n;
		atomic_store(&e->sequence, n);
	}
	atomic_store(&overlay.ledger.header->events_made, 7);
	overlay_is_whole(&overlay);
	return &overlay;
}

static bool is_ours(const struct session_key *key)
{
	return key->relay == OVERLAY_RELAY && key->incarnation == 1 && key->slot < OVERLAY_SLOTS &&
	       (key->id & (CENSUS_RELAYS - 1)) == OVERLAY_RELAY;
}

static void check_record(const struct session_record *record)
{
	FUZZ_MUST(memchr(record->service, '\0', sizeof record->service));
}

static void on_acquire(void *context, const struct session_key *key, const struct session_record *record)
{
	struct steward_world *w = context;

	FUZZ_MUST(is_ours(key));
	check_record(record);
	w->acquired = *record;
	w->acquires++;
	roster_verdict(&w->roster, key, &(struct message_verdict){.id = key->id, .slot = key->slot, .verdict = VERDICT_GO});
}

static void on_ended(void *context, const struct session_key *key, const struct session_record *record, bool recovered)
{
	struct steward_world *w = context;

	(void)recovered;
	FUZZ_MUST(is_ours(key));
	check_record(record);
	w->ends++;
	roster_durable(&w->roster, key);
}

/* Its lease is sought by all of the key. */
static void on_missed(void *context, const struct session_key *key)
{
	(void)context;
	FUZZ_MUST(key->id && key->relay == OVERLAY_RELAY && key->incarnation == 1);
}

static void on_connected(void *context, const struct session_key *key, const struct session_record *record)
{
	(void)context;
	FUZZ_MUST(key->relay == OVERLAY_RELAY && key->incarnation == 1);
	check_record(record);
}

static void on_moved(void *context, const struct session_key *from, const struct session_key *to)
{
	(void)context, (void)from, (void)to;
}

static void on_full(void *context, const struct session_key *key, const struct slot *slot)
{
	struct steward_world *w = context;

	FUZZ_MUST(key->relay == OVERLAY_RELAY && key->incarnation == 1);
	check_record(&slot->record);
	roster_room(&w->roster, key);
}

static void on_reclaimed(void *context, uint32_t relay, const struct message_reclaimed *reclaimed)
{
	(void)context;
	(void)reclaimed;
	FUZZ_MUST(relay == OVERLAY_RELAY);
}

static void on_relay_began(void *context, uint32_t relay)
{
	(void)context;
	FUZZ_MUST(relay == OVERLAY_RELAY);
}

static void on_resolve(void *context, const char *backend)
{
	(void)context;
	(void)backend;
}

static void on_violation(void *context, const struct message_pair *pair)
{
	struct steward_world *w = context;

	FUZZ_MUST(pair->relay == name.relay && pair->incarnation == name.incarnation);
	w->violations++;
}

static void on_progress(void *context)
{
	(void)context;
}

static void on_closed(void *context)
{
	((struct steward_world *)context)->closed = true;
}

static const struct roster_host roster_host = {on_acquire, on_ended, on_missed, on_connected, on_moved, on_full, on_reclaimed, on_relay_began,
	on_resolve, on_violation, on_progress, on_closed};

static json_t *status(void *context)
{
	struct steward_world *w = context;

	return json_pack("{s:b, s:{}, s:I, s:b}", "ok", 1, "leases", "sessions", (json_int_t)roster_live(&w->roster), "quiet",
		(int)roster_quiet(&w->roster));
}

static struct leases *leases(void *context)
{
	(void)context;
	return NULL;
}

static enum control_begun reload(void *context, bool apply)
{
	(void)context;
	(void)apply;
	return CONTROL_REFUSED;
}

static enum control_begun drain(void *context, bool drain, const char *what, char error[CONTROL_ERROR_SIZE])
{
	struct drain parsed;

	(void)context;
	(void)drain;
	snprintf(error, CONTROL_ERROR_SIZE, "%s", drain_parse(&parsed, what) < 0 ? "no such" : parsed.service);
	return CONTROL_REFUSED;
}

static bool upgrade(void *context, uint32_t *ret_after)
{
	(void)context;
	*ret_after = 0;
	return false;
}

static void ask_acquire(void *context, const struct session_key *key, bool *ret_queued, bool *ret_busy)
{
	(void)context;
	*ret_queued = key->slot & 1;
	*ret_busy = key->slot & 2;
}

static const struct control_host control_host = {status, leases, reload, drain, upgrade, ask_acquire};

void steward_world_open(struct steward_world *w, struct overlay *overlay, bool controlled)
{
	char path[64], error[CONTROL_ERROR_SIZE];
	int channel[2];

	signal(SIGPIPE, SIG_IGN); /* as the steward does */
	memset(w, 0, sizeof *w);
	w->overlay = overlay;
	FUZZ_MUST(uv_loop_init(&w->loop) == 0 && message_channel(channel) == 0);
	w->listeners = listeners_new();
	w->relay = channel[1];
	roster_init(&w->roster, &w->loop, w->listeners, &roster_host, w);
	snprintf(path, sizeof path, "/proc/self/fd/%d", overlay->fd);
	FUZZ_MUST(roster_add(&w->roster, &name, open(path, O_RDONLY | O_CLOEXEC), channel[0]) == 0);
	roster_start(&w->roster);
	if (controlled)
		FUZZ_MUST(control_open(
				  &w->control, &w->loop, &(struct control_options){0}, &w->roster, &control_host, w, error) == 0);
}

void steward_world_turn(struct steward_world *w)
{
	for (int i = 0; i < TURNS; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
}

void steward_world_close(struct steward_world *w)
{
	control_close(w->control);
	roster_close(&w->roster);
	while (uv_run(&w->loop, UV_RUN_NOWAIT))
		;
	FUZZ_MUST(w->closed);
	roster_free(&w->roster);
	listeners_free(w->listeners);
	close(w->relay);
	FUZZ_MUST(uv_loop_close(&w->loop) == 0);
}
