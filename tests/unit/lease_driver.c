/* lease_driver DIRECTORY SEED [finish]: a steward's leases and a relay's sessions in one process that may be killed at any time.
 *
 * The sessions stand in a file that is mapped, as a ledger does, and go on at the next start. Everything of note is a line in
 * DIRECTORY/journal, also what the hooks do. A byte on stdout says that recovery is over. With `finish` it begins no session,
 * ends all, and exits with 0 once nothing is left. test_lease_crash.c kills it and judges the journal. */
#include "steward/lease/leases.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 16, TREE = 9 };

struct ledger_file {
	uint64_t next_id;
	struct slot slot[SLOTS];
};

static struct ledger_file *ledger;
static struct leases *leases;
static uv_loop_t loop;
static uv_timer_t tick;
static bool finishing, stopping;
static int journal;

static bool chance(long percent)
{
	return random() % 100 < percent;
}

static void note(const char *what, uint64_t fence)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%s %" PRIx64 "\n", what, fence);
	if (write(journal, line, (size_t)n) != n)
		abort();
}

/* What the hook is to do follows from its fence, so that it does the same whoever runs it. */
static char *acquire_command[] = {"/bin/sh", "-c",
	"J=$JOURNAL; F=$TCPWARDEN_FENCE; L=$TCPWARDEN_LEASE; echo A $L >>$J; [ $((F % 3)) = 0 ] && sleep 0.01; "
	"case $((F % 10)) in 9) echo x $L >>$J; exit 3;; 8) kill -KILL $$;; esac; echo a $L >>$J; echo SEAT=$F",
	NULL};
static char *release_command[] = {"/bin/sh", "-c",
	"J=$JOURNAL; F=$TCPWARDEN_FENCE; L=$TCPWARDEN_LEASE; echo R $L $TCPWARDEN_ACQUIRED >>$J; [ $((F % 4)) = 0 ] && sleep "
	"0.01; "
	"[ $((F % 29)) = 0 ] && [ $TCPWARDEN_ATTEMPT = 1 ] && exit 1; "
	"[ $TCPWARDEN_ACQUIRED = unknown ] || [ \"$TCPWARDEN_VAR_SEAT\" = $F ] || echo ! $L >>$J; echo r $L >>$J",
	NULL};

static char *connected_command[] = {"/bin/sh", "-c", "echo C $TCPWARDEN_LEASE >>$JOURNAL", NULL};
static char *renew_command[] = {"/bin/sh", "-c",
	"J=$JOURNAL; L=$TCPWARDEN_LEASE; echo N $L >>$J; [ $((TCPWARDEN_FENCE % 2)) = 0 ] && sleep 0.01; echo n $L >>$J", NULL};

static struct service_config service = {
	.name = "seats",
	.acquire = {.command = acquire_command, .timeout_ms = 5000, .concurrency = 4, .queue = 100, .umask = -1},
	.connected = {.command = connected_command, .timeout_ms = 5000, .concurrency = 4, .umask = -1, .allow_on_error = true},
	.renew = {.command = renew_command,
		.timeout_ms = 5000,
		.concurrency = 4,
		.umask = -1,
		.every_ms = 4,
		.allow_on_error = true},
	.release = {.command = release_command, .timeout_ms = 5000, .concurrency = 4, .umask = -1},
};
static struct config config = {.services = &service, .service_count = 1};

const struct service_config *config_service(const struct config *from, const char *name)
{
	return strcmp(name, from->services->name) ? NULL : from->services;
}

static struct session_key key_of(const struct slot *slot)
{
	return (struct session_key){.slot = (uint32_t)(slot - ledger->slot), .id = slot->record.id};
}

static void ask(struct slot *slot)
{
	struct session_key key = key_of(slot);
	leases_acquire(leases, &key, "seats", &slot->record);
}

static void tell_connected(struct slot *slot)
{
	struct session_key key = key_of(slot);
	leases_connected(leases, &key, &slot->record);
}

static void tell_end(struct slot *slot)
{
	struct session_key key = key_of(slot);
	leases_end(leases, &key, &slot->record, false);
}

static void end(struct slot *slot)
{
	note("E", slot->record.fence);
	slot->state = SLOT_RELEASING;
	tell_end(slot);
}

static void begin(struct slot *slot)
{
	slot->record = (struct session_record){.id = ++ledger->next_id, .started_us = 1, .service = "seats"};
	slot->state = SLOT_ACQUIRING;
	ask(slot);
}

static struct slot *session(const struct session_key *key, unsigned state)
{
	struct slot *slot = &ledger->slot[key->slot];
	return slot->record.id == key->id && slot->state == state ? slot : NULL;
}

static void on_verdict(void *context, const struct session_key *key, const struct message_verdict *verdict)
{
	(void)context;
	struct slot *slot = session(key, SLOT_ACQUIRING);
	if (!slot || chance(3)) /* gone, or the message was lost */
		return;
	if (verdict->verdict == VERDICT_REFUSE) {
		end(slot);
		return;
	}
	slot->record.fence = verdict->fence; /* first: if we die after the note, the end is still noted under its name */
	note("G", verdict->fence);
	slot->state = SLOT_RELAYING;
}

static void on_end_durable(void *context, const struct session_key *key)
{
	(void)context;
	struct slot *slot = session(key, SLOT_RELEASING);
	if (slot && !chance(3))
		slot->state = SLOT_FREE;
}

static void on_stopped(void *context)
{
	(void)context;
	leases_free(leases);
	uv_close((uv_handle_t *)&tick, NULL);
}

static void on_end_session(void *context, const struct session_key *key, const struct reason *reason)
{
	(void)context, (void)key, (void)reason;
}

static const struct lease_callbacks callbacks = {
	.on_verdict = on_verdict, .on_end_durable = on_end_durable, .on_end_session = on_end_session, .on_stopped = on_stopped};

static void move(struct slot *slot)
{
	switch ((enum slot_state)slot->state) {
	case SLOT_FREE:
		if (!finishing && chance(20))
			begin(slot);
		break;
	case SLOT_ACQUIRING:
		if (chance(2))
			end(slot);
		else if (chance(5))
			ask(slot);
		break;
	case SLOT_RELAYING:
		if (chance(10))
			end(slot);
		else if (chance(30))
			tell_connected(slot);
		break;
	case SLOT_RELEASING:
		if (chance(5))
			tell_end(slot);
		break;
	case SLOT_REFUSING:
	case SLOT_WAITING:
	case SLOT_CONNECTING:
	case SLOT_CLOSING:
	case SLOT_LEAVING:
	case SLOT_GONE:
	case SLOT_ARRIVING:
	case SLOT_STATES:
		abort();
	}
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	if (stopping)
		return;
	bool all_free = true;
	for (int i = 0; i < SLOTS; i++) {
		move(&ledger->slot[i]);
		all_free = all_free && ledger->slot[i].state == SLOT_FREE;
	}
	struct lease_counts counts = leases_counts(leases);
	if (finishing && all_free && !counts.acquiring && !counts.held && !counts.releasing) {
		stopping = true;
		leases_stop(leases);
	}
}

static bool lives(void *context, const struct session_key *key, struct slot *ret)
{
	(void)context;
	struct slot *slot = &ledger->slot[key->slot];
	if (slot->record.id != key->id || slot->state == SLOT_FREE)
		return false;
	memcpy(ret, slot, sizeof *ret);
	return true;
}

static void on_recovered(void *context)
{
	(void)context;
	note("S", 0);
	for (struct slot *slot = ledger->slot; slot < ledger->slot + SLOTS; slot++) {
		if (slot->state == SLOT_ACQUIRING)
			ask(slot);
		else if (slot->state == SLOT_RELEASING)
			tell_end(slot);
	}
	uv_timer_start(&tick, on_tick, 1, 1);
	if (write(STDOUT_FILENO, "", 1) != 1)
		abort();
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	char path[256], variable[300], error[MESSAGE_TEXT_SIZE];
	srandom((unsigned)strtoul(argv[2], NULL, 10));
	finishing = argc > 3;

	snprintf(path, sizeof path, "%s/journal", argv[1]);
	journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	snprintf(variable, sizeof variable, "JOURNAL=%s", path);
	char *environment[] = {variable, NULL};
	service.acquire.environment = service.release.environment = environment;
	service.connected.environment = service.renew.environment = environment;

	snprintf(path, sizeof path, "%s/ledger", argv[1]);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (journal < 0 || fd < 0 || ftruncate(fd, sizeof *ledger))
		return 2;
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger == MAP_FAILED)
		return 2;

	uv_loop_init(&loop);
	uv_timer_init(&loop, &tick);
	if (leases_new(&leases, &loop, argv[1], TREE, &callbacks, NULL, error)) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	leases_configure(leases, &config);
	leases_recover(leases, lives, NULL, on_recovered);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) ? 3 : 0;
}
