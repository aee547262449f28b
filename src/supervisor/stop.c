/* The end of the tree: in order, by force, and what of it systemd is told. */
#include "supervisor/tree.h"

#include "base/clock.h"
#include "supervisor/succession.h"
#include "wire/say.h"

#include <signal.h>
#include <stdlib.h>

enum {
	STOP_CAP_MS = 90000, /* for the steward to finish after the deadline that it was given */
	END_MS = 5000,       /* for roles to obey SIGTERM when their work is done */
	KILLED_MS = 5000,    /* to be gone after SIGKILL */
	EXTEND_MS = 10000,   /* how long systemd is asked to wait, each time */
	EXTEND_EVERY_MS = 2000,
};

void tree_end(struct tree *tree, int status, int signal)
{
	if (!tree_is_ending(tree)) {
		tree->state = TREE_ENDING;
		tree->exit_status = status;
		estate_withdraw_all(&tree->estate);
	}
	tree->end_killed = signal == SIGKILL;
	tree->end_at_ms = clock_mono_ms() + (signal == SIGKILL ? KILLED_MS : END_MS);
	steward_signal(&tree->steward, signal);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		pair_signal(&tree->pairs[i], signal);
}

void tree_close(struct tree *tree)
{
	uv_handle_t *const handles[] = {(uv_handle_t *)&tree->sigterm, (uv_handle_t *)&tree->sigint, (uv_handle_t *)&tree->sighup,
		(uv_handle_t *)&tree->sigusr2, (uv_handle_t *)&tree->sigchld, (uv_handle_t *)&tree->tick,
		(uv_handle_t *)&tree->store};

	if (uv_is_closing(handles[0]))
		return;
	for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
		uv_close(handles[i], NULL);
	steward_fini(&tree->steward);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		pair_fini(&tree->pairs[i]);
}

bool tree_is_gone(const struct tree *tree)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if (!pair_gone(&tree->pairs[i]))
			return false;
	return !tree->steward.process;
}

void tree_on_stopped(struct tree *tree)
{
	if (tree_is_ending(tree))
		return;
	if (tree->state == TREE_STOPPING) {
		say(LOG_NOTICE, "every session has ended and every release has run");
		tree_end(tree, 0, SIGTERM);
		return;
	}
	say(LOG_ERR, "the tree has ended itself while it was without a supervisor (orphan_timeout)");
	tree_end(tree, EXIT_FAILURE, SIGTERM);
}

/* The steward is told to stop before it has anything to serve by: then it judges the leases that it finds, and releases them. */
void tree_stop_at_once(struct tree *tree)
{
	tree->state = TREE_STOPPING;
	tree->stop_wanted = true;
	tree->stop_deadline_ms = clock_mono_ms();
	say(LOG_NOTICE, "what the dead tree had leased is released");
}

void tree_on_sigterm(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	(void)signal;
	if (tree->state == TREE_STOPPING || tree_is_ending(tree))
		return;
	notify_say(&tree->notify, "STOPPING=1");
	if (!tree->prepared) {
		tree_end(tree, 0, SIGKILL); /* no lock was taken, nothing was begun */
		return;
	}
	tree->state = TREE_STOPPING;
	tree->stop_wanted = true;
	tree->stop_deadline_ms = clock_mono_ms() + tree->settings.shutdown_timeout_ms;
	succession_note(tree);
	say(LOG_NOTICE, "stopping: sessions have %.3g s to end by themselves (shutdown_timeout)",
		tree->settings.shutdown_timeout_ms / 1e3);
	steward_say(&tree->steward);
}

void tree_on_sigint(uv_signal_t *handle, int signal)
{
	struct tree *tree = handle->data;

	if (!tree->interrupted) {
		tree->interrupted = true;
		tree_on_sigterm(handle, signal);
		return;
	}
	if (!tree_is_ending(tree) || !tree->end_killed) {
		say(LOG_WARNING, "interrupted twice: ended at once; what is still leased is released at the next start");
		tree->exit_status = TREE_EXIT_INTERRUPTED;
		tree_end(tree, TREE_EXIT_INTERRUPTED, SIGKILL);
	}
}

/* The time that a stop may take is ours to bound, not TimeoutStopSec's: systemd is asked for more as long as we wait. */
static void extend(struct tree *tree, uint64_t now_ms)
{
	if (now_ms < tree->extended_ms + EXTEND_EVERY_MS)
		return;
	tree->extended_ms = now_ms;
	notify_say(&tree->notify, "EXTEND_TIMEOUT_USEC=%d", EXTEND_MS * 1000);
}

static uint64_t give_up_ms(const struct tree *tree)
{
	return tree->release_by_ms ? tree->release_by_ms : tree->stop_deadline_ms + STOP_CAP_MS;
}

void tree_check_end(struct tree *tree, uint64_t now_ms)
{
	if (tree->state == TREE_STOPPING || tree_is_ending(tree))
		extend(tree, now_ms);
	if (tree->state == TREE_STOPPING && now_ms > give_up_ms(tree)) {
		say(LOG_ERR,
			"not everything has ended in time: ended by force; what is still leased is released at the next start");
		tree_end(tree, EXIT_FAILURE, SIGKILL);
	}
	if (!tree_is_ending(tree))
		return;
	if (now_ms > tree->end_at_ms && !tree->end_killed)
		tree_end(tree, tree->exit_status, SIGKILL);
	else if (now_ms > tree->end_at_ms)
		tree_close(tree); /* in the kernel, uninterruptible: no use to wait */
}
