#include "supervisor/upgrade.h"

#include "supervisor/tree.h"
#include "wire/say.h"

#include <errno.h>
#include <string.h>

static void finish(struct upgrade *upgrade)
{
	upgrade->under_way = false;
	program_close(&upgrade->former);
	if (upgrade->back)
		say(LOG_ERR, "upgrade: given up, the version before goes on");
	else
		say(LOG_NOTICE, "upgrade: done");
}

void upgrade_check(struct upgrade *upgrade, struct tree *tree)
{
	if (!upgrade->under_way || tree->state != TREE_RUNNING)
		return;
	for (uint32_t i = 0; i < tree->pair_count; i++) {
		struct pair *pair = &tree->pairs[i];

		if (pair->program == tree->holder.number)
			continue;
		/* One at a time: a bad version is to cost one pause. What cannot begin now (its relay has just died) is tried
		 * again. */
		if (!pair->hand_over.under_way)
			hand_over_start(pair, &tree->holder, &upgrade->former);
		return;
	}
	finish(upgrade);
}

void upgrade_start(struct upgrade *upgrade, struct tree *tree)
{
	struct program next;
	int r;

	if (upgrade->under_way) {
		say(LOG_WARNING, "an upgrade is under way already");
		return;
	}
	r = program_open(&next, tree->holder.path, tree->holder.number + 1);
	if (r < 0) {
		say(LOG_ERR, "upgrade: %s: %s", tree->holder.path, strerror(-r));
		return;
	}
	say(LOG_NOTICE, "upgrade: sessions are handed over to the programs that are installed now");
	upgrade->under_way = true;
	upgrade->back = false;
	upgrade->former = tree->holder;
	tree->holder = next;
	upgrade_check(upgrade, tree);
}

void upgrade_on_handed_over(struct upgrade *upgrade, struct tree *tree, bool done)
{
	struct program bad = tree->holder;

	if (done || upgrade->back)
		return; /* the way back is tried until it is done: there is no other */
	upgrade->back = true;
	tree->holder = upgrade->former;
	upgrade->former = bad;
}
