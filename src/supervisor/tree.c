#include "supervisor/tree.h"

#include "base/clock.h"
#include "supervisor/capacity.h"
#include "supervisor/lock.h"
#include "supervisor/process.h"
#include "wire/programs.h"
#include "supervisor/settings.h"
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
	LATE_MS = 1000,      /* a tick later than this: we, and likely all others, were not run */
	STOP_CAP_MS = 90000, /* for the steward to finish after the deadline that it was given */
	END_MS = 5000,       /* for roles to obey SIGTERM when their work is done */
	KILLED_MS = 5000,    /* to be gone after SIGKILL */
	DESCRIPTORS = 4096,  /* a few descriptors for each pair */
};

/* Ends what is left and leaves the loop once it is gone. The first status stands. */
static void end(struct tree *tree, int status, int signal)
{
	if (!tree_is_ending(tree)) {
		tree->state = TREE_ENDING;
		tree->exit_status = status;
	}
	tree->end_killed = signal == SIGKILL;
	tree->end_at_ms = clock_mono_ms() + (signal == SIGKILL ? KILLED_MS : END_MS);
	steward_signal(&tree->steward, signal);
	for (uint32_t i = 0; i < tree->pair_count; i++)
		pair_signal(&tree->pairs[i], signal);
}

static void fail(struct tree *tree, int status, const char *error)
{
	say(LOG_ERR, "%s", error);
	notify_say(&tree->notify, "STATUS=%s", error);
	end(tree, status, SIGKILL);
}

bool tree_on_failed_start(struct tree *tree, const char *who, uint32_t failures, int final_status)
{
	char error[MESSAGE_TEXT_SIZE];

	if (tree->was_ready)
		return true; /* a running service is never given up */
	if (final_status) {
		end(tree, final_status, SIGKILL); /* it has told why */
		return false;
	}
	if (failures < TREE_START_TRIES && tree->state == TREE_STARTING)
		return true;
	if (tree->state == TREE_STOPPING)
		end(tree, 0, SIGKILL); /* nothing was ever served, and nothing waits to be ended in order */
	else {
		snprintf(error, sizeof error, "%s died %" PRIu32 " times before the service was ready: given up", who, failures);
		fail(tree, EXIT_FAILURE, error);
	}
	return false;
}

/* Nothing lives any more: closes the handles, and so ends the loop. */
static void close_all(struct tree *tree)
{
	uv_handle_t *const handles[] = {(uv_handle_t *)&tree->sigterm, (uv_handle_t *)&tree->sigint, (uv_handle_t *)&tree->sighup,
		(uv_handle_t *)&tree->sigchld, (uv_handle_t *)&tree->tick};

	if (uv_is_closing(handles[0]))
		return;
	for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
		uv_close(handles[i], NULL);
	steward_fini(&tree->steward);
	for (uint32_t i = 0; i < tree->pair_count; i++)
		pair_fini(&tree->pairs[i]);
}

static bool all_gone(const struct tree *tree)
{
	for (uint32_t i = 0; i < tree->pair_count; i++)
		if (!pair_gone(&tree->pairs[i]))
			return false;
	return !tree->steward.process;
}

/* The first time: all that a tree needs before its steward may begin. 0 or an exit status. */
static int prepare(struct tree *tree, char error[512])
{
	int r = privilege_choose_relay(&tree->privilege, tree->settings.user_relay, error);

	if (r)
		return r;
	tree->lock_fd = lock_take(tree->settings.state_directory, error);
	if (tree->lock_fd < 0)
		return tree->lock_fd == -EWOULDBLOCK ? EX_UNAVAILABLE : EX_CANTCREAT;
	if (getrandom(&tree->id, sizeof tree->id, 0) != sizeof tree->id)
		tree->id = clock_real_us();
	tree->census_fd = census_create(tree->id, capacity_slots(capacity_limit()));
	tree->pairs = calloc(tree->settings.workers, sizeof *tree->pairs);
	if (tree->census_fd < 0 || !tree->pairs) {
		snprintf(error, 512, "no memory for the tables that roles share: %s",
			strerror(tree->census_fd < 0 ? -tree->census_fd : ENOMEM));
		return EX_OSERR;
	}
	for (uint32_t i = 0; i < tree->settings.workers; i++) {
		r = pair_init(&tree->pairs[i], tree, i);
		if (r < 0) {
			snprintf(error, 512, "pair %" PRIu32 ": %s", i, uv_strerror(r));
			return EX_OSERR;
		}
		tree->pair_count = i + 1;
	}
	return 0;
}

void tree_on_settings(struct tree *tree, const struct message_settings *settings)
{
	struct message_settings kept = tree->settings;
	char error[512];
	int r;

	settings_take(&tree->settings, settings);
	if (tree->prepared) {
		settings_keep_fixed(&tree->settings, &kept);
		return;
	}
	if (settings->workers < 1 || settings->workers > CENSUS_RELAYS) {
		snprintf(error, sizeof error, "the steward asks for %" PRIu32 " relays: from 1 to %d are possible",
			settings->workers, CENSUS_RELAYS);
		fail(tree, EX_SOFTWARE, error);
		return;
	}
	r = prepare(tree, error);
	if (r) {
		fail(tree, r, error);
		return;
	}
	tree->prepared = true;
	for (uint32_t i = 0; i < tree->pair_count; i++)
		pair_start(&tree->pairs[i]);
}

void tree_on_accepted(struct tree *tree, struct message *accepted)
{
	for (int i = 0; i < 2; i++) {
		if (tree->accepted_fds[i] >= 0)
			close(tree->accepted_fds[i]);
		tree->accepted_fds[i] = accepted->fds[i];
		accepted->fds[i] = -1;
	}
	tree->accepted = accepted->body.generation.generation;
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
	if (which->relay < tree->pair_count)
		pair_replace_relay(&tree->pairs[which->relay], which->incarnation);
}

void tree_on_stopped(struct tree *tree)
{
	if (tree->state != TREE_STOPPING)
		return;
	say(LOG_NOTICE, "every session has ended and every release has run");
	end(tree, 0, SIGTERM);
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

static void on_sigterm(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	(void)signal;
	if (tree->state == TREE_STOPPING || tree_is_ending(tree))
		return;
	notify_say(&tree->notify, "STOPPING=1");
	if (!tree->prepared) {
		end(tree, 0, SIGKILL); /* no lock was taken, nothing was begun */
		return;
	}
	tree->state = TREE_STOPPING;
	tree->stop_wanted = true;
	tree->stop_deadline_ms = clock_mono_ms() + tree->settings.shutdown_timeout_ms;
	say(LOG_NOTICE, "stopping: sessions have %.3g s to end by themselves (shutdown_timeout)",
		tree->settings.shutdown_timeout_ms / 1e3);
	steward_say(&tree->steward);
}

static void on_sigint(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	if (!tree->interrupted) {
		tree->interrupted = true;
		on_sigterm(handle, signal);
		return;
	}
	if (!tree_is_ending(tree) || !tree->end_killed) {
		say(LOG_WARNING, "interrupted twice: ended at once; what is still leased is released at the next start");
		tree->exit_status = TREE_EXIT_INTERRUPTED;
		end(tree, TREE_EXIT_INTERRUPTED, SIGKILL);
	}
}

static void on_sigchld(uv_signal_t *handle, int signal)
{
	(void)handle;
	(void)signal;
	process_reap();
}

static void check_end(struct tree *tree, uint64_t now_ms)
{
	if (tree->state == TREE_STOPPING && now_ms > tree->stop_deadline_ms + STOP_CAP_MS) {
		say(LOG_ERR,
			"not everything has ended %d s after shutdown_timeout: ended by force; what is still leased is released "
			"at the next start",
			STOP_CAP_MS / 1000);
		end(tree, EXIT_FAILURE, SIGKILL);
	}
	if (!tree_is_ending(tree))
		return;
	if (now_ms > tree->end_at_ms && !tree->end_killed)
		end(tree, tree->exit_status, SIGKILL);
	else if (now_ms > tree->end_at_ms)
		close_all(tree); /* in the kernel, uninterruptible: no use to wait */
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
		for (uint32_t i = 0; i < tree->pair_count; i++)
			pair_check(&tree->pairs[i], now_ns, tree->grace_ns);
		steward_say(&tree->steward);
	} else if (tree->end_killed) {
		for (uint32_t i = 0; i < tree->pair_count; i++)
			pair_end_unknown(&tree->pairs[i]);
	}
	check_end(tree, now_ns / 1000000);
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
	int r = programs_find(tree->steward_path, "steward", error);

	if (!r)
		r = programs_find(tree->holder_path, "relay", error);
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
	watch_signal(tree, &tree->sigterm, on_sigterm, SIGTERM);
	watch_signal(tree, &tree->sigint, on_sigint, SIGINT);
	watch_signal(tree, &tree->sighup, on_sighup, SIGHUP);
	watch_signal(tree, &tree->sigchld, on_sigchld, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	uv_timer_init(&tree->loop, &tree->tick);
	tree->tick.data = tree;
	tree->last_tick_ns = tree->grace_ns = clock_mono_ns();
	uv_timer_start(&tree->tick, on_tick, TICK_MS, TICK_MS);
	steward_init(&tree->steward, tree);
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int tree_run(struct tree *tree, const char *config_path)
{
	char error[512];
	int r;

	memset(tree, 0, sizeof *tree);
	tree->config_path = config_path;
	tree->lock_fd = tree->census_fd = tree->self_fd = tree->accepted_fds[0] = tree->accepted_fds[1] = -1;
	notify_init(&tree->notify);
	inherited_init(&tree->inherited);
	r = start(tree, error);
	if (r) {
		say(LOG_ERR, "%s", error);
		notify_say(&tree->notify, "STATUS=%s", error);
		return r;
	}
	steward_start(&tree->steward);
	do {
		/* Between turns of the loop, since no callback may free what it was called for. */
		if (tree_is_ending(tree) && all_gone(tree))
			close_all(tree);
	} while (uv_run(&tree->loop, UV_RUN_ONCE));
	r = uv_loop_close(&tree->loop);
	if (r < 0)
		say(LOG_ERR, "handles were left open: %s", uv_strerror(r)); /* a fault of ours, and no reason to stay */
	free(tree->pairs);
	close_fd(tree->census_fd);
	close_fd(tree->lock_fd);
	close_fd(tree->self_fd);
	close_fd(tree->accepted_fds[0]);
	close_fd(tree->accepted_fds[1]);
	notify_fini(&tree->notify);
	return tree->exit_status;
}
