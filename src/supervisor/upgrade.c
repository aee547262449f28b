#include "supervisor/upgrade.h"

#include "base/clock.h"
#include "supervisor/crossing.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { STEWARD_TRIES = 3, HAND_OVER_TRIES = 3 };

void upgrade_init(struct upgrade *upgrade)
{
	memset(upgrade, 0, sizeof *upgrade);
	program_set_init(&upgrade->other);
	upgrade->found_fd = -1;
}

static void become(struct tree *tree, enum upgrade_state state)
{
	tree->upgrade.state.state = state;
	tree->upgrade.changes++;
	succession_note(tree);
}

static __attribute__((format(printf, 2, 3))) void note_why(struct upgrade *upgrade, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(upgrade->state.text, sizeof upgrade->state.text, format, arguments);
	va_end(arguments);
}

static void finish(struct tree *tree, bool done)
{
	struct upgrade *upgrade = &tree->upgrade;
	bool asked = upgrade->state.state == UPGRADE_UNDER_WAY;

	upgrade->phase = UPGRADE_NONE;
	upgrade->back = upgrade->across = false;
	upgrade->served = tree->programs.number;
	if (asked)
		become(tree, done ? UPGRADE_DONE : UPGRADE_FAILED);
	succession_note(tree);
	/* Until a successor would be told that they are not needed any more, they are. */
	program_set_close(&upgrade->other, &tree->estate);
	if (!asked)
		say(LOG_NOTICE, "version " TCPWARDEN_VERSION " goes on");
	else if (done)
		say(LOG_NOTICE, "upgrade: done, version " TCPWARDEN_VERSION " serves");
	else
		say(LOG_ERR, "upgrade: given up, version " TCPWARDEN_VERSION " goes on: %s", upgrade->state.text);
}

/* Since the crossing: something of our version does not come up. */
static void give_way(struct tree *tree)
{
	struct upgrade *upgrade = &tree->upgrade;

	say(LOG_ERR, "upgrade: %s; back to the version before", upgrade->state.text);
	upgrade->back = true;
	upgrade->phase = UPGRADE_CROSSING;
	succession_note(tree);
}

const struct program_set *upgrade_programs(const struct tree *tree)
{
	const struct upgrade *upgrade = &tree->upgrade;
	bool wait = upgrade->phase == UPGRADE_ASKING || upgrade->phase == UPGRADE_CROSSING;

	return wait && upgrade->across ? &upgrade->other : &tree->programs;
}

/* ---- asking ---- */

/* What the former program of a role says is what the new one is asked. */
static const struct question {
	enum program_kind kind;
	enum { ASK_FORMER, ASK_NEW, ASK_CONFIG } what;
} questions[] = {
	{PROGRAM_SUPERVISOR, ASK_FORMER},
	{PROGRAM_SUPERVISOR, ASK_NEW},
	{PROGRAM_STEWARD, ASK_FORMER},
	{PROGRAM_STEWARD, ASK_NEW},
	{PROGRAM_RELAY, ASK_FORMER},
	{PROGRAM_RELAY, ASK_NEW},
	{PROGRAM_STEWARD, ASK_CONFIG},
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

static void ask_next(struct tree *tree);

static void refused(struct tree *tree)
{
	if (tree->upgrade.across)
		give_way(tree);
	else
		finish(tree, false);
}

static void on_answer(void *owner, int status)
{
	struct tree *tree = owner;
	struct upgrade *upgrade = &tree->upgrade;
	const struct question *q = &questions[upgrade->question];

	if (upgrade->phase != UPGRADE_ASKING)
		return;
	if (status != 0) {
		note_why(upgrade, "%.100s: %s%.120s", upgrade->other.of[q->kind].path,
			q->what == ASK_CONFIG ? "refuses the config that is in force; see --check" : "",
			q->what == ASK_CONFIG ? ""
			: *upgrade->ask.text  ? upgrade->ask.text
					      : "does not say what it can read");
		refused(tree);
		return;
	}
	if (q->what == ASK_FORMER)
		snprintf(upgrade->list, sizeof upgrade->list, "%.*s", (int)sizeof upgrade->list - 1, upgrade->ask.text);
	upgrade->question++;
	ask_next(tree);
}

static void ask_next(struct tree *tree)
{
	struct upgrade *upgrade = &tree->upgrade;
	const struct question *q = &questions[upgrade->question];
	bool former = upgrade->question < QUESTIONS && q->what == ASK_FORMER;
	const struct program_set *set = former == upgrade->across ? &upgrade->other : &tree->programs;
	const char *argv[] = {NULL, "--versions", NULL, NULL};
	int fd = -1, r;

	if (upgrade->question == QUESTIONS && upgrade->across) {
		upgrade_follow(tree);
		return;
	}
	if (upgrade->question == QUESTIONS) {
		program_set_leave(&upgrade->other, &tree->estate);
		upgrade->phase = UPGRADE_CROSSING;
		return;
	}
	if (q->what == ASK_NEW) {
		argv[1] = "--can-read";
		argv[2] = upgrade->list;
	} else if (q->what == ASK_CONFIG) {
		argv[1] = "--check";
		argv[2] = "/proc/self/fd/3";
		fd = tree->accepted_fds[1];
	}
	argv[0] = set->of[q->kind].path;
	r = ask_start(&upgrade->ask, &tree->loop, &set->of[q->kind], argv, fd,
		q->kind == PROGRAM_RELAY ? ROLE_HOLDER : ROLE_STEWARD, &tree->privilege, on_answer, tree);
	tree_let_run(tree);
	if (r < 0) {
		note_why(upgrade, "%.100s cannot be asked: %s", set->of[q->kind].path, strerror(-r));
		refused(tree);
	}
}

void upgrade_ask(struct tree *tree)
{
	tree->upgrade.phase = UPGRADE_ASKING;
	tree->upgrade.question = 0;
	ask_next(tree);
}

void upgrade_start(struct upgrade *upgrade, struct tree *tree)
{
	const char *failed;
	int r;

	if (upgrade->phase != UPGRADE_NONE) {
		say(LOG_WARNING, "an upgrade is under way already");
		return;
	}
	upgrade->state.number++;
	upgrade->state.text[0] = '\0';
	become(tree, UPGRADE_UNDER_WAY);
	if (tree->state != TREE_RUNNING || !tree->accepted) {
		note_why(upgrade, "not now: tcpwarden is starting or being stopped");
		finish(tree, false);
		return;
	}
	r = program_set_open_anew(&upgrade->other, &tree->programs, &failed);
	if (r < 0) {
		note_why(upgrade, "%.100s: %s", failed, strerror(-r));
		finish(tree, false);
		return;
	}
	say(LOG_NOTICE, "upgrade: to the programs that are installed now");
	upgrade_ask(tree);
}

/* ---- going over, and back ---- */

static void cross(struct upgrade *upgrade, struct tree *tree)
{
	int r;

	/* What systemd has not been told yet cannot come along. */
	if (!store_push(&tree->estate.store))
		return;
	succession_note(tree);
	r = crossing_go(tree);
	if (upgrade->back) { /* we serve; better than nothing, and the next tick tries again */
		say(LOG_ERR, "upgrade: the former version cannot be executed: %s", strerror(-r));
		return;
	}
	note_why(upgrade, "%.100s cannot be executed: %s", upgrade->other.of[PROGRAM_SUPERVISOR].path, strerror(-r));
	finish(tree, false);
}

void upgrade_follow(struct tree *tree)
{
	tree->upgrade.phase = UPGRADE_STEWARD;
	tree->upgrade.deadline_ms = clock_mono_ms() + tree->settings.upgrade_timeout_ms;
	tree->upgrade.deaths = 0;
	succession_note(tree);
}

static void check_steward(struct upgrade *upgrade, struct tree *tree)
{
	struct steward *steward = &tree->steward;
	bool ours = steward->process && steward->program == tree->programs.number;

	if (ours && steward->state == STEWARD_READY) {
		upgrade->phase = UPGRADE_PAIRS;
		return;
	}
	if (!ours)
		steward_replace(steward);
	if (upgrade->back || (clock_mono_ms() <= upgrade->deadline_ms && steward->backoff.failures < STEWARD_TRIES))
		return;
	note_why(upgrade, "the steward (%.100s) does not come up", tree->programs.of[PROGRAM_STEWARD].path);
	give_way(tree);
}

static void check_pairs(struct upgrade *upgrade, struct tree *tree)
{
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		struct pair *pair = &tree->pairs[i];

		if (pair->ledger_fd < 0 || pair->program == tree->programs.number)
			continue;
		/* One at a time: a bad version is to cost one pause. What cannot begin now (its relay has just died) is tried
		 * again. */
		if (!pair->hand_over.under_way)
			hand_over_start(pair, &tree->programs, &upgrade->other);
		return;
	}
	finish(tree, !upgrade->back);
}

void upgrade_on_handed_over(struct upgrade *upgrade, struct tree *tree, enum hand_over_end end)
{
	if (end == HANDED_OVER)
		upgrade->deaths = 0;
	if (end == HANDED_OVER || upgrade->back || upgrade->phase != UPGRADE_PAIRS)
		return; /* the way back is tried until it is done: there is no other */
	/* Anybody may have killed it. */
	if (end == HAND_OVER_CAME_TO_NOTHING && ++upgrade->deaths < HAND_OVER_TRIES)
		return;
	note_why(upgrade, "a relay does not come up");
	give_way(tree);
}

void upgrade_check(struct upgrade *upgrade, struct tree *tree)
{
	if (tree->state != TREE_RUNNING && tree->state != TREE_STARTING)
		return; /* it ends: whoever serves now serves to the end */
	switch (upgrade->phase) {
	case UPGRADE_NONE:
		break;
	case UPGRADE_ASKING:
		ask_check(&upgrade->ask, clock_mono_ms());
		break;
	case UPGRADE_CROSSING:
		cross(upgrade, tree);
		break;
	case UPGRADE_STEWARD:
		check_steward(upgrade, tree);
		break;
	case UPGRADE_PAIRS:
		check_pairs(upgrade, tree);
		break;
	}
}

/* ---- arriving ---- */

int upgrade_arrive(struct tree *tree, char error[512])
{
	int r = crossing_arrive(tree);

	if (r >= 0)
		return 0;
	snprintf(error, 512, "what came with the version before cannot be read: %s", strerror(-r));
	return EX_SOFTWARE;
}

void upgrade_on_begun(struct upgrade *upgrade, struct tree *tree, const char *error)
{
	if (!upgrade->found) {
		if (!error && upgrade->phase == UPGRADE_ASKING)
			upgrade_ask(tree);
		return;
	}
	if (!error)
		error = crossing_fault();
	if (error) {
		say(LOG_ERR, "upgrade: the new supervisor cannot go on (%s); back to the version before", error);
		crossing_return("the new supervisor cannot go on");
		return;
	}
	crossing_arrived(tree);
	say(LOG_NOTICE, "upgrade: the supervisor is of version " TCPWARDEN_VERSION " now");
	upgrade->across = true;
	upgrade_follow(tree);
}
