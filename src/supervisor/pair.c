#include "supervisor/pair.h"

#include "base/clock.h"
#include "supervisor/incarnation.h"
#include "supervisor/member.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"
#include "wire/message.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ADOPTION_MS = 10000, /* a relay that is not ready may take this long, whatever hang_after says */
};

static struct ledger_header *header_of(const struct pair *pair)
{
	return pair->ledger.header;
}

static bool is_ready(const struct pair *pair)
{
	return header_of(pair) && atomic_load_explicit(&header_of(pair)->ready, memory_order_relaxed);
}

static void on_retry(uv_timer_t *timer)
{
	pair_start(timer->data);
}

static void try_again(struct pair *pair, bool was_ready, const char *why)
{
	char who[32];
	uint32_t wait_ms = backoff_died(&pair->backoff, was_ready);

	workers_on_failed(pair, why);
	if (!workers_want(pair))
		return;

	snprintf(who, sizeof who, "holder %" PRIu32, pair->index);
	if (tree_is_ending(pair->tree) || !tree_on_failed_start(pair->tree, who, pair->backoff.failures, 0))
		return;
	uv_timer_start(&pair->retry, on_retry, wait_ms, 0);
}

/* Its relay ended since nothing was left to it. */
static bool has_retired(const struct pair *pair)
{
	const struct ledger *ledger = &pair->ledger;
	uint32_t high = ledger->header ? atomic_load(&ledger->header->high_water) : 0;

	for (uint32_t i = 0; i < high && i < ledger->slot_count; i++)
		if (atomic_load_explicit(&ledger->slots[i].state, memory_order_relaxed) != SLOT_FREE)
			return false;
	/* A successor does not know whom its predecessor had told. */
	return (pair->retiring || !workers_want(pair)) && !is_ready(pair);
}

static void lose(struct pair *pair)
{
	bool was_ready = is_ready(pair), retired = has_retired(pair), again = workers_want(pair);
	int r;

	if (retired)
		say(LOG_NOTICE, "holder and relay %" PRIu32 " have retired", pair->index);
	else if (!tree_is_ending(pair->tree))
		say(LOG_ERR, "holder and relay %" PRIu32 " have died, and their sessions with them%s", pair->index,
			again ? "; they are started again" : "");
	incarnation_drop(pair);
	if (!again)
		census_forget(pair->tree->census, &pair->tree->clients, pair->index);
	if (!tree_is_ending(pair->tree) && (!again || retired)) {
		pair_start(pair);
		steward_say(&pair->tree->steward);
	} else if (!tree_is_ending(pair->tree)) {
		/* At once, so that the steward, which waits for the ledgers of all pairs, has one even while this pair cannot
		 * start. */
		r = incarnation_make(pair);
		if (r < 0) {
			say(LOG_ERR, "no ledger for relay %" PRIu32 ": %s", pair->index, strerror(-r));
			incarnation_drop(pair);
		}
		try_again(pair, was_ready, "it died");
		steward_say(&pair->tree->steward);
	}
}

static void hear(struct pair *pair)
{
	while (pair->channel && !pair->table_gone) {
		struct message message;
		int r = message_receive(
			watch_fd(pair->channel), &message, message_bit(MESSAGE_HOLDER) | message_bit(MESSAGE_RELAY));

		if (r == 1) {
			member_claim(pair, &message, message.header.kind == MESSAGE_HOLDER ? MEMBER_HOLDER : MEMBER_RELAY);
			message_close_fds(&message);
			continue;
		}
		if (r == -EBADMSG) {
			say(LOG_ERR, "holder or relay %" PRIu32 " sent %s, which it may not: both are ended, and started again",
				pair->index, message_name(message.header.kind));
			pair_signal(pair, SIGKILL);
			continue;
		}
		if (r < 0) {
			pair->table_gone = true;
			watch_events(pair->channel, 0);
			/* Whoever closed the channel without dying can be of no use any more. */
			pair_signal(pair, SIGKILL);
		}
		return;
	}
}

void pair_on_member_gone(struct pair *pair)
{
	hear(pair); /* its last words may name who goes on */
	if (!pair->members && pair->table_gone)
		lose(pair);
	else if (!pair->members)
		pair->unknown_since_ns = clock_mono_ns();
	hand_over_check(pair, clock_mono_ns());
}

static void on_channel(void *owner, int events)
{
	struct pair *pair = owner;

	(void)events;
	hear(pair);
	if (pair->table_gone && !pair->members)
		lose(pair);
}

static int start_holder(struct pair *pair)
{
	struct tree *tree = pair->tree;
	const struct program_set *programs = upgrade_programs(tree);
	char name[32];
	const char *argv[] = {name, NULL};
	int channel[2], r;

	r = message_channel(channel);
	if (r < 0)
		return r;
	pair->channel = watch_new(&tree->loop, channel[0], UV_READABLE, on_channel, pair);
	if (!pair->channel) {
		close(channel[1]);
		return -ENOMEM;
	}
	estate_leave(&tree->estate, incarnation_name(pair, ESTATE_CHANNEL), channel[0]);
	pair->started = true;
	pair->program = programs->number;
	snprintf(name, sizeof name, "tcpwarden: holder %" PRIu32, pair->index);
	r = member_spawn(pair, &(struct spawn){
				       .path = programs->of[PROGRAM_RELAY].path,
				       .program_fd = programs->of[PROGRAM_RELAY].fd,
				       .argv = argv,
				       .fds = {channel[1], tree->self_fd, tree->lock_fd, pair->ledger_fd,
					       pair->steward_channel[1], tree->census_fd},
				       .fd_count = 6,
				       .nofile = UINT64_MAX,
				       .role = ROLE_HOLDER,
				       .privilege = &tree->privilege,
			       });
	close(channel[1]); /* from now on only the pair has it: its end says that the pair is gone */
	if (r < 0) {
		pair->started = false;
		succession_note(tree);
		estate_withdraw(&tree->estate, incarnation_name(pair, ESTATE_CHANNEL));
		watch_close(pair->channel);
		pair->channel = NULL;
	}
	return r;
}

void pair_start(struct pair *pair)
{
	int r = 0;

	if (pair->channel || tree_is_ending(pair->tree) || !workers_want(pair))
		return;
	if (pair->ledger_fd < 0)
		r = incarnation_make(pair);
	if (r < 0) {
		incarnation_drop(pair);
	} else {
		r = start_holder(pair);
		steward_say(&pair->tree->steward);
	}
	if (r < 0) {
		say(LOG_ERR, "holder %" PRIu32 " cannot be started: %s", pair->index, strerror(-r));
		try_again(pair, false, strerror(-r));
	}
}

/* Its relay is dead, and it starts no other: it has been stopped. Killing it would cost its sessions, and a holder that is not
 * stopped does not mind being told to go on. */
static void wake_holder(struct pair *pair, uint64_t now_ns, uint64_t allowed_ns)
{
	uint64_t since_ns = atomic_load_explicit(&header_of(pair)->beat_ns, memory_order_relaxed);

	if (since_ns < pair->woken_ns)
		since_ns = pair->woken_ns;
	for (struct member *member = pair->members; member; member = member->next)
		if (since_ns < member->since_ns) /* it has just been started, and so has its relay, or will be */
			since_ns = member->since_ns;
	if (now_ns <= since_ns || now_ns - since_ns <= allowed_ns)
		return;
	pair->woken_ns = now_ns;
	for (struct member *member = pair->members; member; member = member->next) {
		if (member->role != MEMBER_HOLDER || member->killed)
			continue;
		say(LOG_ERR,
			"holder %" PRIu32 " (process %ld) starts no relay: told to go on (SIGCONT), should it have been stopped",
			pair->index, (long)process_pid(member->process));
		process_signal(member->process, SIGCONT);
	}
}

void pair_check(struct pair *pair, uint64_t now_ns, uint64_t grace_ns)
{
	struct member *relay = member_newest_relay(pair);
	uint64_t seen_ns, allowed_ms = pair->tree->settings.hang_after_ms;

	if (pair->introduction_owed)
		pair_introduce_tree(pair);
	hand_over_check(pair, now_ns);
	if (is_ready(pair))
		backoff_ready(&pair->backoff);
	else if (allowed_ms < ADOPTION_MS)
		allowed_ms = ADOPTION_MS;
	if (pair->unknown_since_ns && !pair->members) {
		seen_ns = pair->unknown_since_ns > grace_ns ? pair->unknown_since_ns : grace_ns;
		if (now_ns > seen_ns && now_ns - seen_ns > allowed_ms * 1000000) {
			member_end_unknown(pair);
			if (!pair->members)
				pair->unknown_since_ns = now_ns;
		}
		return;
	}
	if (!relay && header_of(pair))
		wake_holder(pair, now_ns, allowed_ms * 1000000);
	if (!relay || relay->killed || !header_of(pair))
		return;
	seen_ns = atomic_load_explicit(&header_of(pair)->beat_ns, memory_order_relaxed);
	/* It may have beaten since now_ns was read. What it says of the future counts for nothing: it lies, or is broken. */
	if (seen_ns > now_ns && seen_ns > clock_mono_ns())
		seen_ns = relay->since_ns;
	if (seen_ns < relay->since_ns)
		seen_ns = relay->since_ns;
	if (seen_ns < grace_ns)
		seen_ns = grace_ns;
	if (now_ns <= seen_ns || now_ns - seen_ns <= allowed_ms * 1000000)
		return;
	say(LOG_ERR, "relay %" PRIu32 " (process %ld) has not run for %.1f s (hang_after): ended, its holder starts another",
		pair->index, (long)process_pid(relay->process), (double)(now_ns - seen_ns) / 1e9);
	member_kill(relay);
}

void pair_retire(struct pair *pair, bool retires)
{
	const struct member *relay = member_newest_relay(pair);
	struct message_retire order = {retires};

	if (!pair->channel && retires) {
		uv_timer_stop(&pair->retry);
		incarnation_drop(pair);
		steward_say(&pair->tree->steward);
	}
	/* Who is to take over is told when it has: the end of both would look like a failure of its program. */
	if (!pair->channel || !relay || pair->hand_over.under_way || pair->retire_told == (retires ? process_pid(relay->process) : 0))
		return;
	pair->retiring = true;
	if (message_send(watch_fd(pair->channel), MESSAGE_RETIRE, &order, NULL) == 0)
		pair->retire_told = retires ? process_pid(relay->process) : 0;
}

void pair_replace_relay(struct pair *pair, uint32_t incarnation)
{
	struct member *relay = member_newest_relay(pair);

	if (!relay || relay->killed || incarnation != pair->incarnation)
		return; /* it is dead already */
	say(LOG_ERR, "relay %" PRIu32 " (process %ld) said what it may not: ended, its holder starts another", pair->index,
		(long)process_pid(relay->process));
	member_kill(relay);
}

void pair_signal(struct pair *pair, int signal)
{
	bool holder = false;

	/* Holders first, so that none of them sees its relay's death and clones another. */
	for (struct member *member = pair->members; member; member = member->next) {
		if (member->role != MEMBER_HOLDER)
			continue;
		holder = true;
		if (signal == SIGKILL)
			member_kill(member);
		else
			process_signal(member->process, signal);
	}
	for (struct member *member = pair->members; member; member = member->next) {
		if (member->role == MEMBER_HOLDER)
			continue;
		if (signal == SIGKILL)
			member_kill(member);
		else if (!holder)
			process_signal(member->process, signal);
	}
}

void pair_end_unknown(struct pair *pair)
{
	if (!pair->members && pair->channel && !pair->table_gone)
		member_end_unknown(pair);
}

bool pair_gone(const struct pair *pair)
{
	return !pair->members && (!pair->channel || pair->table_gone);
}

void pair_introduce_tree(struct pair *pair)
{
	if (pair->channel && pair->tree->taken_up)
		pair->introduction_owed =
			message_send(watch_fd(pair->channel), MESSAGE_SUPERVISOR, NULL, &pair->tree->self_fd) < 0;
}

int pair_take_up(struct pair *pair)
{
	int channel, r = incarnation_take_up(pair, &channel);

	if (r < 0 || !pair->started)
		return r;
	pair->retiring = !workers_want(pair); /* a predecessor may have told it so */
	pair->program = pair->tree->estate.numbers->pairs[pair->index].program;
	pair->channel = watch_new(&pair->tree->loop, channel, UV_READABLE, on_channel, pair);
	if (!pair->channel)
		return -errno;
	hand_over_take_up(pair);
	member_take_up(pair);
	if (!pair->members)
		pair->unknown_since_ns = clock_mono_ns();
	return 0;
}

int pair_init(struct pair *pair, struct tree *tree, uint32_t index)
{
	memset(pair, 0, sizeof *pair);
	pair->tree = tree;
	pair->index = index;
	pair->ledger_fd = pair->ledger_reader_fd = -1;
	pair->steward_channel[0] = pair->steward_channel[1] = -1;
	pair->retry.data = pair;
	return uv_timer_init(&tree->loop, &pair->retry);
}

void pair_fini(struct pair *pair)
{
	members_forget(pair);
	incarnation_drop(pair);
	if (!uv_is_closing((uv_handle_t *)&pair->retry))
		uv_close((uv_handle_t *)&pair->retry, NULL);
}
