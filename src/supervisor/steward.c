#include "supervisor/steward.h"

#include "base/clock.h"
#include "supervisor/process.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"
#include "wire/say.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	DESCRIPTORS = 4096,    /* it holds few descriptors; its hooks inherit the limit */
	HANG_AFTER_MS = 30000, /* while it starts: leases of a predecessor are brought to order first */
};

/* What may be said in which state. A fault here is a fault of the program: it is ended, and started afresh. */
static message_set permitted(const struct steward *steward)
{
	message_set set = message_bit(MESSAGE_SETTINGS) | message_bit(MESSAGE_STATUS);

	switch (steward->state) {
	case STEWARD_DOWN:
	case STEWARD_STARTING:
		return set;
	case STEWARD_BEGUN:
	case STEWARD_READY:
		return set | message_bit(MESSAGE_ACCEPTED) | message_bit(MESSAGE_READY) | message_bit(MESSAGE_RELOADING) |
		       message_bit(MESSAGE_RELOADED) | message_bit(MESSAGE_REPLACE) | message_bit(MESSAGE_STOPPED) |
		       message_bit(MESSAGE_UPGRADE) | message_bit(MESSAGE_WORKERS);
	}
	return 0;
}

static void on_message(struct steward *steward, struct message *message)
{
	struct tree *tree = steward->tree;

	switch ((enum message_kind)message->header.kind) {
	case MESSAGE_SETTINGS:
		tree_on_settings(tree, &message->body.settings);
		if (tree->prepared && steward->state == STEWARD_STARTING)
			steward->state = STEWARD_BEGUN;
		break;
	case MESSAGE_ACCEPTED:
		tree_on_accepted(tree, message);
		break;
	case MESSAGE_READY:
		steward->state = STEWARD_READY;
		succession_note(tree);
		backoff_ready(&steward->backoff);
		tree_on_ready(tree);
		break;
	case MESSAGE_RELOADING:
		tree_on_reloading(tree);
		break;
	case MESSAGE_RELOADED:
		steward->told.reload = false;
		tree_on_reloaded(tree, &message->body.outcome);
		break;
	case MESSAGE_STATUS:
		tree_on_status(tree, &message->body.outcome);
		break;
	case MESSAGE_REPLACE:
		tree_on_replace(tree, &message->body.pair);
		break;
	case MESSAGE_WORKERS:
		workers_on_asked(tree, &message->body.workers);
		break;
	case MESSAGE_UPGRADE:
		upgrade_start(&tree->upgrade, tree);
		break;
	case MESSAGE_STOPPED:
		tree_on_stopped(tree);
		break;
	case MESSAGE_NONE:
	case MESSAGE_BEGIN:
	case MESSAGE_RESUME:
	case MESSAGE_INHERITED:
	case MESSAGE_PAIR:
	case MESSAGE_PAIR_LOST:
	case MESSAGE_RELOAD:
	case MESSAGE_STOP:
	case MESSAGE_UPGRADE_STATE:
	case MESSAGE_SUPERVISOR:
	case MESSAGE_HOLDER:
	case MESSAGE_RELAY:
	case MESSAGE_HAND_OVER:
	case MESSAGE_RELAY_HELLO:
	case MESSAGE_PLAN_TAKEN:
	case MESSAGE_LISTENING:
	case MESSAGE_ACQUIRE:
	case MESSAGE_ENDED:
	case MESSAGE_EVENTS:
	case MESSAGE_RESOLVE:
	case MESSAGE_FULL:
	case MESSAGE_RECLAIMED:
	case MESSAGE_STEWARD_HELLO:
	case MESSAGE_PLAN:
	case MESSAGE_LISTEN:
	case MESSAGE_UNLISTEN:
	case MESSAGE_VERDICT:
	case MESSAGE_END_DURABLE:
	case MESSAGE_EVENTS_TAKEN:
	case MESSAGE_KILL:
	case MESSAGE_KILL_ALL:
	case MESSAGE_PROBE:
	case MESSAGE_RECLAIM:
	case MESSAGE_ROOM:
	case MESSAGE_DRAIN:
	case MESSAGE_LEND:
	case MESSAGE_LENT:
	case MESSAGE_RETIRE:
	case MESSAGE_PAIRS:
	case MESSAGE_MOVED:
	case MESSAGE_BRIDGE:
	case MESSAGE_GIVE:
	case MESSAGE_KINDS:
		break; /* message_receive lets none of these through */
	}
	message_close_fds(message);
}

/* Takes all that waits. */
static void hear(struct steward *steward)
{
	while (steward->channel) {
		struct message message;
		int r = message_receive(watch_fd(steward->channel), &message, permitted(steward));

		if (r == 1) {
			on_message(steward, &message);
			continue;
		}
		if (r == -EBADMSG) {
			say(LOG_ERR, "the steward sent %s, which it may not now: ended, and started again",
				message_name(message.header.kind));
			steward_signal(steward, SIGKILL);
			continue;
		}
		if (r < 0) {
			/* Its end is closed: it is dying, which its pidfd will say. If it is not, it is of no use any more. */
			watch_events(steward->channel, 0);
			steward_signal(steward, SIGKILL);
		}
		return;
	}
}

static void on_channel(void *owner, int events)
{
	struct steward *steward = owner;

	(void)events;
	hear(steward);
	steward_say(steward);
}

static void on_retry(uv_timer_t *timer)
{
	steward_start(timer->data);
}

static void try_again(struct steward *steward, bool was_ready, int final_status)
{
	uint32_t wait_ms = backoff_died(&steward->backoff, was_ready);

	if (tree_is_ending(steward->tree) ||
		!tree_on_failed_start(steward->tree, "steward", steward->backoff.failures, final_status))
		return;
	uv_timer_start(&steward->retry, on_retry, wait_ms, 0);
}

static struct estate_name name_of(const struct steward *steward, enum estate_kind kind)
{
	return (struct estate_name){kind, 0, steward->starts};
}

static void forget_process(struct steward *steward)
{
	steward->state = STEWARD_DOWN;
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		steward->tree->pairs[i].told = 0;
	workers_forget_asked(steward->tree);
	succession_note(steward->tree);
	for (enum estate_kind kind = ESTATE_STEWARD; kind <= ESTATE_STEWARD_PULSE; kind++)
		estate_withdraw(&steward->tree->estate, name_of(steward, kind));
	watch_close(steward->channel);
	steward->channel = NULL;
	heart_fini(&steward->heart);
	memset(&steward->told, 0, sizeof steward->told);
}

static void on_steward_exit(void *owner, struct process *process, int status)
{
	struct steward *steward = owner;
	struct tree *tree = steward->tree;
	bool was_ready;
	char how[64];

	hear(steward); /* its last words count: what it accepted, that it stopped */
	was_ready = steward->state == STEWARD_READY;
	steward->process = NULL;
	forget_process(steward);
	if (!tree_is_ending(tree)) {
		int code = status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;

		process_format_status(status, how);
		if (code != EX_CONFIG || tree->was_ready)
			say(steward->replaced ? LOG_INFO
				: was_ready   ? LOG_ERR
					      : LOG_WARNING,
				"the steward (process %ld) %s%s", (long)process_pid(process), how,
				tree->was_ready ? "; sessions go on, it is started again" : "");
		try_again(steward, was_ready, code >= EX_USAGE && code <= EX_CONFIG ? code : 0);
	}
}

void steward_start(struct steward *steward)
{
	struct tree *tree = steward->tree;
	const struct program_set *programs = upgrade_programs(tree);
	const char *argv[] = {"tcpwarden: steward", "--role", tree->config_path, tree->accepted ? "--resume" : NULL, NULL};
	int channel[2] = {-1, -1}, r;

	if (steward->process || tree_is_ending(tree))
		return;
	r = message_channel(channel);
	if (r < 0)
		goto fail;
	r = heart_make(&steward->heart);
	if (r < 0) {
		close(channel[0]);
		goto fail;
	}
	steward->channel = watch_new(&tree->loop, channel[0], UV_READABLE, on_channel, steward);
	if (!steward->channel) {
		r = -errno;
		goto fail;
	}
	steward->process = process_spawn(&tree->loop,
		&(struct spawn){
			.path = programs->of[PROGRAM_STEWARD].path,
			.program_fd = programs->of[PROGRAM_STEWARD].fd,
			.argv = argv,
			.fds = {channel[1], tree->self_fd, -1, steward->heart.fd},
			.fd_count = 4,
			.nofile = DESCRIPTORS,
			.role = ROLE_STEWARD,
			.privilege = &tree->privilege,
		},
		on_steward_exit, steward);
	if (!steward->process) {
		r = -errno;
		goto fail;
	}
	close(channel[1]);
	steward->starts++;
	steward->program = programs->number;
	estate_leave(&tree->estate, name_of(steward, ESTATE_STEWARD), process_fd(steward->process));
	estate_leave(&tree->estate, name_of(steward, ESTATE_STEWARD_CHANNEL), channel[0]);
	estate_leave(&tree->estate, name_of(steward, ESTATE_STEWARD_PULSE), steward->heart.fd);
	tree_let_run(tree);
	steward->state = STEWARD_STARTING;
	steward->since_ns = clock_mono_ns();
	steward->killed = steward->replaced = false;
	steward_say(steward);
	return;
fail:
	say(LOG_ERR, "the steward cannot be started: %s", strerror(-r));
	if (channel[1] >= 0)
		close(channel[1]);
	forget_process(steward);
	try_again(steward, false, 0);
}

/* It serves, and can be told who we are. */
static bool goes_on(struct steward *steward, int channel)
{
	struct tree *tree = steward->tree;

	int pulse_fd = estate_take(&tree->estate, name_of(steward, ESTATE_STEWARD_PULSE));

	return heart_take(&steward->heart, pulse_fd) == 0 && tree->estate.numbers->steward_ready &&
	       message_send(channel, MESSAGE_SUPERVISOR, NULL, &tree->self_fd) == 0;
}

int steward_take_up(struct steward *steward)
{
	struct tree *tree = steward->tree;
	struct estate *estate = &tree->estate;
	int pidfd, channel;
	long pid;

	steward->starts = estate->numbers->steward_starts;
	steward->program = estate->numbers->steward_program;
	if (!estate->numbers->steward_lives)
		return 0;
	if (estate->numbers->steward_lives != steward->starts)
		return -EINVAL;
	channel = estate_take(estate, name_of(steward, ESTATE_STEWARD_CHANNEL));
	steward->channel = channel < 0 ? NULL : watch_new(&tree->loop, channel, UV_READABLE, on_channel, steward);
	steward->state = STEWARD_BEGUN; /* so that its last words count */
	steward->since_ns = clock_mono_ns();
	pidfd = estate_take(estate, name_of(steward, ESTATE_STEWARD));
	pid = pidfd < 0 ? 0 : process_pid_of(pidfd);
	if (pid > 0)
		steward->process = process_adopt(&tree->loop, pidfd, (pid_t)pid, geteuid(), on_steward_exit, steward);
	else if (pidfd >= 0)
		close(pidfd);
	if (!steward->process && pid != -1 && (pid == 0 || errno != ESRCH))
		return pid == 0 ? -ENOENT : -errno;
	if (!steward->process) {
		hear(steward);
		forget_process(steward);
		return 0;
	}
	if (steward->channel && goes_on(steward, channel)) {
		steward->state = STEWARD_READY;
		steward->told.resume = steward->told.begin = true;
		steward->told.inherited = tree->inherited.count;
	} else {
		steward_signal(steward, SIGKILL);
	}
	return 0;
}

void steward_check(struct steward *steward, uint64_t now_ns, uint64_t grace_ns)
{
	uint64_t seen_ns, allowed_ms = steward->tree->prepared ? steward->tree->settings.hang_after_ms : HANG_AFTER_MS;

	if (!steward->process || !steward->heart.pulse || steward->killed)
		return;
	seen_ns = atomic_load_explicit(&steward->heart.pulse->beat_ns, memory_order_relaxed);
	if (seen_ns > now_ns)
		seen_ns = now_ns;
	if (seen_ns < steward->since_ns)
		seen_ns = steward->since_ns;
	if (seen_ns < grace_ns)
		seen_ns = grace_ns;
	if (steward->state != STEWARD_READY && allowed_ms < HANG_AFTER_MS)
		allowed_ms = HANG_AFTER_MS;
	if (now_ns - seen_ns <= allowed_ms * 1000000)
		return;
	say(LOG_ERR, "the steward (process %ld) has not run for %.1f s (hang_after): ended, and started again",
		(long)process_pid(steward->process), (double)(now_ns - seen_ns) / 1e9);
	steward_signal(steward, SIGKILL);
}

void steward_signal(struct steward *steward, int signal)
{
	if (!steward->process)
		return;
	if (signal == SIGKILL)
		steward->killed = true;
	process_signal(steward->process, signal);
}

void steward_replace(struct steward *steward)
{
	if (!steward->process || steward->killed)
		return;
	steward->replaced = true;
	steward_signal(steward, SIGKILL);
}

int steward_init(struct steward *steward, struct tree *tree)
{
	memset(steward, 0, sizeof *steward);
	steward->tree = tree;
	heart_init(&steward->heart);
	steward->retry.data = steward;
	return uv_timer_init(&tree->loop, &steward->retry);
}

void steward_fini(struct steward *steward)
{
	process_forget(steward->process);
	steward->process = NULL;
	forget_process(steward);
	if (!uv_is_closing((uv_handle_t *)&steward->retry))
		uv_close((uv_handle_t *)&steward->retry, NULL);
}
