#include "supervisor/succession.h"

#include "supervisor/lock.h"
#include "supervisor/member.h"
#include "supervisor/resume.h"
#include "supervisor/settings.h"
#include "supervisor/tree.h"
#include "supervisor/workers.h"
#include "wire/census.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

/* Whoever still waits at its gate dies with us, and what was made for it counts for nothing. */
static bool is_in_use(const struct pair *pair)
{
	bool waits = pair->members != NULL;

	for (const struct member *member = pair->members; member; member = member->next)
		waits &= process_waits(member->process);
	return pair->started && !waits;
}

void succession_note(struct tree *tree)
{
	struct estate_numbers *n = tree->estate.numbers;
	const struct message_settings *settings;
	uint32_t count = 0;

	if (!n || !tree->prepared)
		return;
	settings = &n->settings[n->settings_at & 1];
	if (memcmp(settings, &tree->settings, sizeof *settings) != 0) {
		n->settings[!n->settings_at] = tree->settings;
		n->settings_at = !n->settings_at;
	}
	n->tree = tree->id;
	n->was_ready = tree->was_ready;
	n->reload_wanted = tree->reload_wanted;
	n->stop_deadline_ms = tree->stop_deadline_ms;
	n->stop_wanted = tree->stop_wanted;
	n->steward_starts = tree->steward.starts;
	n->steward_ready = tree->steward.state == STEWARD_READY;
	n->steward_program = tree->steward.program;
	n->served = tree->upgrade.served;
	n->upgrade_back = tree->upgrade.back;
	if (memcmp(&n->upgrade, &tree->upgrade.state, sizeof n->upgrade) != 0)
		n->upgrade = tree->upgrade.state;
	n->steward_lives = tree->steward.process && !process_waits(tree->steward.process) ? tree->steward.starts : 0;
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		n->pairs[i].incarnation = tree->pairs[i].incarnation;
		n->pairs[i].started = is_in_use(&tree->pairs[i]);
		n->pairs[i].told = tree->pairs[i].told;
		n->pairs[i].program = tree->pairs[i].program;
		if (workers_want(&tree->pairs[i]) || tree->pairs[i].ledger_fd >= 0)
			count = i + 1;
	}
	n->pair_count = count;
}

static struct estate_name only(enum estate_kind kind)
{
	return (struct estate_name){kind, 0, 0};
}

static int take_census(struct tree *tree)
{
	tree->census = census_map(tree->census_fd, &tree->clients);
	if (!tree->census)
		return -errno;
	return tree->census->tree == tree->id ? 0 : -EINVAL;
}

/* The newest of which both were left. */
static void take_accepted(struct tree *tree)
{
	struct estate *estate = &tree->estate;
	uint32_t newest = 0;

	for (uint32_t i = 0; i < estate->count; i++) {
		struct estate_name name = estate->items[i].name;

		if (name.kind != ESTATE_PLAN || name.number < newest)
			continue;
		name.kind = ESTATE_CONFIG;
		if (estate_has(estate, name))
			newest = name.number;
	}
	if (!newest)
		return;
	tree->accepted = newest;
	tree->accepted_fds[0] = estate_take(estate, (struct estate_name){ESTATE_PLAN, 0, newest});
	tree->accepted_fds[1] = estate_take(estate, (struct estate_name){ESTATE_CONFIG, 0, newest});
}

static int take_tree(struct tree *tree, char error[512])
{
	const struct estate_numbers *n = tree->estate.numbers;
	int r;

	tree->settings = n->settings[n->settings_at];
	settings_take(&tree->settings, &tree->settings);
	tree->id = n->tree;
	tree->was_ready = n->was_ready;
	tree->stop_wanted = n->stop_wanted;
	tree->stop_deadline_ms = n->stop_deadline_ms;
	tree->reload_wanted = n->reload_wanted;
	r = privilege_choose_relay(&tree->privilege, tree->settings.user_relay, error);
	if (r)
		return -EPERM;
	tree->lock_fd = estate_take(&tree->estate, only(ESTATE_LOCK));
	tree->census_fd = estate_take(&tree->estate, only(ESTATE_CENSUS));
	if (tree->lock_fd < 0 || tree->census_fd < 0)
		return -ENOENT;
	r = lock_keep(tree->lock_fd, tree->settings.state_directory);
	if (r == 0)
		r = take_census(tree);
	take_accepted(tree);
	return r;
}

static int take_pairs(struct tree *tree)
{
	int r = 0;

	for (uint32_t i = 0; i < CENSUS_RELAYS && r == 0; i++)
		r = pair_take_up(&tree->pairs[i]);
	return r;
}

/* Its steward ends it, at once instead of after orphan_timeout. */
static void refuse(struct tree *tree)
{
	struct estate *estate = &tree->estate;

	if (tree->upgrade.found) /* the former version has not died, and will */
		return;
	for (uint32_t i = 0; i < estate->count; i++)
		if (estate->items[i].name.kind == ESTATE_STEWARD)
			pidfd_send_signal(estate->items[i].fd, SIGTERM, NULL, 0);
	estate_withdraw_all(estate);
}

int succession_take_up(struct tree *tree, char error[512])
{
	struct estate *estate = &tree->estate;
	int r;

	if (!estate->count && !estate->rubbish)
		return 0;
	snprintf(error, 512, "%s", "");
	r = estate->rubbish ? -EINVAL : estate_read(estate);
	if (r == 0)
		r = take_tree(tree, error);
	if (r == 0)
		resume_programs(tree);
	if (r == 0)
		r = take_pairs(tree);
	if (r == 0) {
		/* Before the last words of a steward that has died are heard: what it said of its settings is no beginning. */
		tree->prepared = true;
		r = steward_take_up(&tree->steward);
	}
	if (r < 0) {
		char why[256];

		snprintf(why, sizeof why, "%.255s", *error ? error : strerror(-r));
		snprintf(error, 512, "the tree that a supervisor left by its death cannot be taken up (%s): it ends by itself",
			why);
		refuse(tree);
		return r;
	}
	tree->taken_up = true;
	estate_discard(estate);
	say(tree->upgrade.found ? LOG_INFO : LOG_WARNING, "took up the tree of %s: %" PRIu32 " pairs, steward %s",
		tree->upgrade.found ? "the version before" : "a supervisor that has died", tree->estate.numbers->pair_count,
		tree->steward.state == STEWARD_READY ? "in service" : "to be started");
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		pair_introduce_tree(&tree->pairs[i]);
	workers_fit(tree);
	return 1;
}
