#include "supervisor/tree.h"

#include "base/clock.h"
#include "supervisor/capacity.h"
#include "supervisor/crossing.h"
#include "supervisor/lock.h"
#include "supervisor/process.h"
#include "supervisor/settings.h"
#include "supervisor/succession.h"
#include "wire/census.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	TICK_MS = 250,
	STORE_MS = 5, /* between tries to tell systemd what it did not take at once */
	STORE_MOST_MS = 5000,
	FLUSH_MS = 2000,    /* in which it must be told at the end */
	LATE_MS = 250,      /* a tick later than this: we, and likely all others, were not run */
	DESCRIPTORS = 4096, /* a few descriptors for each pair */
	LET_GO_MS = 5000,   /* tree_release: for systemd to let the dead tree's lock go */
};

static void fail(struct tree *tree, int status, const char *error)
{
	say(LOG_ERR, "%s", error);
	notify_say(&tree->notify, "STATUS=%s", error);
	tree_end(tree, status, SIGKILL);
}

bool tree_on_failed_start(struct tree *tree, const char *who, uint32_t failures, int final_status)
{
	char error[MESSAGE_TEXT_SIZE];

	if (tree->was_ready)
		return true; /* a running service is never given up */
	if (final_status) {
		tree_end(tree, final_status, SIGKILL); /* it has told why */
		return false;
	}
	if (failures < TREE_START_TRIES && (tree->state == TREE_STARTING || tree->release_by_ms))
		return true;
	if (tree->state == TREE_STOPPING && !tree->release_by_ms)
		tree_end(tree, 0, SIGKILL); /* nothing was ever served, and nothing waits to be ended in order */
	else {
		snprintf(error, sizeof error, "%s died %" PRIu32 " times before the service was ready: given up", who, failures);
		fail(tree, EXIT_FAILURE, error);
	}
	return false;
}

/* The first time: all that a tree needs before its steward may begin. 0 or an exit status. */
static int prepare(struct tree *tree, char error[512])
{
	int r = privilege_choose_relay(&tree->privilege, tree->settings.user_relay, error);

	if (r)
		return r;
	tree->lock_fd = lock_take(tree->settings.state_directory, tree->release_by_ms ? LET_GO_MS : 0, error);
	if (tree->lock_fd < 0)
		return tree->lock_fd == -EWOULDBLOCK ? EX_UNAVAILABLE : EX_CANTCREAT;
	if (getrandom(&tree->id, sizeof tree->id, 0) != sizeof tree->id)
		tree->id = clock_real_us();
	tree->census_fd = census_create(tree->id, capacity_slots(capacity_limit()));
	tree->census = tree->census_fd < 0 ? NULL : census_map(tree->census_fd, &tree->clients);
	if (!tree->census) {
		snprintf(error, 512, "no memory for the tables that roles share: %s",
			strerror(tree->census_fd < 0 ? -tree->census_fd : errno));
		return EX_OSERR;
	}
	return 0;
}

void tree_on_settings(struct tree *tree, const struct message_settings *settings)
{
	struct message_settings kept = tree->settings;
	char error[512];
	int r;

	if (tree->prepared) {
		settings_take(&tree->settings, settings);
		settings_keep_fixed(&tree->settings, &kept);
		succession_note(tree);
		workers_forget_asked(tree);
		return;
	}
	if (settings->workers < 1 || settings->workers > CENSUS_RELAYS) {
		snprintf(error, sizeof error, "the steward asks for %" PRIu32 " relays: from 1 to %d are possible",
			settings->workers, CENSUS_RELAYS);
		fail(tree, EX_SOFTWARE, error);
		return;
	}
	settings_take(&tree->settings, settings);
	r = prepare(tree, error);
	if (r) {
		fail(tree, r, error);
		return;
	}
	tree->prepared = true;
	estate_leave(&tree->estate, (struct estate_name){ESTATE_LOCK, 0, 0}, tree->lock_fd);
	estate_leave(&tree->estate, (struct estate_name){ESTATE_CENSUS, 0, 0}, tree->census_fd);
	succession_note(tree);
	workers_fit(tree);
}

void tree_on_accepted(struct tree *tree, struct message *accepted)
{
	static const enum estate_kind kinds[2] = {ESTATE_PLAN, ESTATE_CONFIG};
	uint32_t generation = accepted->body.generation.generation;

	if (generation == tree->accepted)
		return; /* said again, to a successor */
	for (int i = 0; i < 2; i++) {
		estate_leave(&tree->estate, (struct estate_name){kinds[i], 0, generation}, accepted->fds[i]);
		estate_withdraw(&tree->estate, (struct estate_name){kinds[i], 0, tree->accepted});
		if (tree->accepted_fds[i] >= 0)
			close(tree->accepted_fds[i]);
		tree->accepted_fds[i] = accepted->fds[i];
		accepted->fds[i] = -1;
	}
	tree->accepted = generation;
}

void tree_let_run(struct tree *tree)
{
	uint64_t now_ms = clock_mono_ms();

	if (store_push(&tree->estate.store)) {
		tree->stored_ms = now_ms;
		uv_timer_stop(&tree->store);
	} else if (now_ms - tree->stored_ms < STORE_MOST_MS) {
		return;
	}
	process_ready_all();
	succession_note(tree);
	process_go_all();
}

static void on_store(uv_timer_t *timer)
{
	tree_let_run(timer->data);
}

static void notify_ready(struct tree *tree)
{
	notify_say(&tree->notify, "READY=1");
	tree->notified_reloading = false;
}

void tree_on_ready(struct tree *tree)
{
	if (tree->state == TREE_STARTING) {
		tree->state = TREE_RUNNING;
		tree->was_ready = true;
		succession_note(tree);
		say(LOG_NOTICE, "ready");
		notify_ready(tree);
	} else if (tree->notified_reloading && !tree->reload_wanted) {
		notify_ready(tree); /* the reload died with its steward; what was accepted before goes on */
	}
}

void tree_on_reloading(struct tree *tree)
{
	if (tree->notified_reloading || tree->state != TREE_RUNNING)
		return;
	notify_say(&tree->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	tree->notified_reloading = true;
}

static void tell_status(struct tree *tree, const struct message_outcome *outcome)
{
	char text[MESSAGE_TEXT_SIZE];

	snprintf(text, sizeof text, "%.*s", (int)sizeof outcome->text, outcome->text);
	text[strcspn(text, "\n")] = '\0'; /* one line: more would be other variables */
	notify_say(&tree->notify, "STATUS=%s", text);
}

void tree_on_status(struct tree *tree, const struct message_outcome *outcome)
{
	tell_status(tree, outcome);
}

void tree_on_reloaded(struct tree *tree, const struct message_outcome *outcome)
{
	tree->reload_wanted = tree->reload_again; /* the file may have changed since that reload read it */
	tree->reload_again = false;
	if (*outcome->text)
		tell_status(tree, outcome);
	if (tree->state == TREE_RUNNING && !tree->reload_wanted && tree->notified_reloading)
		notify_ready(tree);
}

void tree_on_replace(struct tree *tree, const struct message_pair *which)
{
	if (which->relay < CENSUS_RELAYS)
		pair_replace_relay(&tree->pairs[which->relay], which->incarnation);
}

void tree_on_handed_over(struct pair *pair, enum hand_over_end end)
{
	upgrade_on_handed_over(&pair->tree->upgrade, pair->tree, end);
}

static void on_sighup(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	(void)signal;
	if (tree->state != TREE_STARTING && tree->state != TREE_RUNNING)
		return;
	if (tree->reload_wanted)
		tree->reload_again = true;
	tree->reload_wanted = true;
	tree_on_reloading(tree);
	steward_say(&tree->steward);
}

static void on_sigusr2(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	(void)signal;
	if (tree->state == TREE_RUNNING)
		upgrade_start(&tree->upgrade, tree);
}

static void on_sigchld(uv_signal_t *handle, int signal)
{
	(void)handle;
	(void)signal;
	process_reap();
}

static void on_tick(uv_timer_t *timer)
{
	struct tree *tree = timer->data;
	uint64_t now_ns = clock_mono_ns();

	/* If we were not run (SIGSTOP, a machine that swaps), others may not have been either, and have yet to wake. */
	if (now_ns - tree->last_tick_ns > (TICK_MS + LATE_MS) * UINT64_C(1000000))
		tree->grace_ns = now_ns;
	tree->last_tick_ns = now_ns;
	notify_tick(&tree->notify, now_ns / 1000000);
	if (!tree_is_ending(tree)) {
		steward_check(&tree->steward, now_ns, tree->grace_ns);
		for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
			pair_check(&tree->pairs[i], now_ns, tree->grace_ns);
		workers_fit(tree);
		steward_say(&tree->steward);
	} else if (tree->end_killed) {
		for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
			pair_end_unknown(&tree->pairs[i]);
	}
	succession_note(tree);
	tree_check_end(tree, now_ns / 1000000);
}

static void watch_signal(struct tree *tree, uv_signal_t *handle, uv_signal_cb callback, int signal)
{
	handle->data = tree;
	if (uv_signal_init(&tree->loop, handle) < 0 || uv_signal_start(handle, callback, signal) < 0)
		abort(); /* no descriptors or no memory in the first millisecond: nothing has begun that could be ended in order
			  */
}

static int start(struct tree *tree, char error[512])
{
	int r = tree->upgrade.found ? 0 : program_set_find(&tree->programs, tree->self, error);

	if (!r)
		r = privilege_drop(&tree->privilege, error);
	if (r)
		return r;
	capacity_raise(DESCRIPTORS);
	/* Relays whose holder dies, and hooks whose steward dies, become our children. */
	tree->self_fd = pidfd_open(getpid(), 0);
	if (tree->self_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
		snprintf(error, 512, "this kernel does not watch processes as tcpwarden needs it (Linux 6.1 or newer): %s",
			strerror(errno));
		return EX_OSERR;
	}
	r = uv_loop_init(&tree->loop);
	if (r < 0) {
		snprintf(error, 512, "no event loop: %s", uv_strerror(r));
		return EX_OSERR;
	}
	watch_signal(tree, &tree->sigterm, tree_on_sigterm, SIGTERM);
	watch_signal(tree, &tree->sigint, tree_on_sigint, SIGINT);
	watch_signal(tree, &tree->sighup, on_sighup, SIGHUP);
	watch_signal(tree, &tree->sigusr2, on_sigusr2, SIGUSR2);
	watch_signal(tree, &tree->sigchld, on_sigchld, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	uv_timer_init(&tree->loop, &tree->tick);
	uv_timer_init(&tree->loop, &tree->store);
	tree->tick.data = tree->store.data = tree;
	tree->last_tick_ns = tree->grace_ns = clock_mono_ns();
	tree->stored_ms = clock_mono_ms();
	uv_timer_start(&tree->tick, on_tick, TICK_MS, TICK_MS);
	steward_init(&tree->steward, tree);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		pair_init(&tree->pairs[i], tree, i);
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Takes up what a predecessor left, or starts anew. 0 or an exit status. */
static int begin(struct tree *tree, char error[512])
{
	int r = succession_take_up(tree, error);

	if (r < 0)
		return EX_UNAVAILABLE;
	if (r > 0) {
		tree->state = tree->stop_wanted ? TREE_STOPPING : TREE_STARTING;
		if (tree->steward.state == STEWARD_READY)
			tree_on_ready(tree);
		steward_say(&tree->steward);
	} else if ((r = estate_open(&tree->estate)) < 0) {
		snprintf(error, 512, "no memory for what a successor needs: %s", strerror(-r));
		return EX_OSERR;
	} else {
		tree->upgrade.served = tree->programs.number;
		program_set_leave(&tree->programs, &tree->estate);
	}
	if (tree->release_by_ms)
		tree_stop_at_once(tree);
	steward_start(&tree->steward);
	return 0;
}

/* When nothing else is left to do: systemd would pass what it still has to the next start. */
static void flush_store(struct tree *tree)
{
	for (int ms = 0; ms < FLUSH_MS && !store_push(&tree->estate.store); ms += STORE_MS)
		usleep(STORE_MS * 1000);
}

static int run(struct tree *tree, const char *self, const char *config_path, uint64_t release_by_ms)
{
	char error[512];
	int r;

	memset(tree, 0, sizeof *tree);
	tree->release_by_ms = release_by_ms;
	tree->config_path = config_path;
	tree->self = self;
	crossing_remember();
	program_set_init(&tree->programs);
	upgrade_init(&tree->upgrade);
	tree->lock_fd = tree->census_fd = tree->self_fd = tree->accepted_fds[0] = tree->accepted_fds[1] = -1;
	notify_init(&tree->notify);
	estate_init(&tree->estate, &tree->notify);
	inherited_init(&tree->inherited, &tree->estate);
	r = upgrade_arrive(tree, error);
	if (!r)
		r = start(tree, error);
	if (!r)
		r = begin(tree, error);
	upgrade_on_begun(&tree->upgrade, tree, r ? error : NULL);
	if (r) {
		say(LOG_ERR, "%s", error);
		notify_say(&tree->notify, "STATUS=%s", error);
		flush_store(tree);
		return r;
	}
	do {
		/* Between turns of the loop, since no callback may free what it was called for. */
		upgrade_check(&tree->upgrade, tree);
		if (tree_is_ending(tree) && tree_is_gone(tree))
			tree_close(tree);
		else if (tree->estate.store.count && !uv_is_active((uv_handle_t *)&tree->store))
			uv_timer_start(&tree->store, on_store, STORE_MS, STORE_MS);
		else if (!tree->estate.store.count)
			tree->stored_ms = clock_mono_ms();
	} while (uv_run(&tree->loop, UV_RUN_ONCE));
	r = uv_loop_close(&tree->loop);
	if (r < 0)
		say(LOG_ERR, "handles were left open: %s", uv_strerror(r)); /* a fault of ours, and no reason to stay */
	flush_store(tree);
	program_set_close(&tree->programs, &tree->estate);
	program_set_close(&tree->upgrade.other, &tree->estate);
	close_fd(tree->census_fd);
	close_fd(tree->lock_fd);
	close_fd(tree->self_fd);
	close_fd(tree->accepted_fds[0]);
	close_fd(tree->accepted_fds[1]);
	estate_fini(&tree->estate);
	notify_fini(&tree->notify);
	return tree->exit_status;
}

int tree_run(struct tree *tree, const char *self, const char *config_path)
{
	return run(tree, self, config_path, 0);
}

int tree_release(struct tree *tree, const char *self, const char *config_path, uint32_t allowed_ms)
{
	return run(tree, self, config_path, clock_mono_ms() + allowed_ms);
}
