#include "supervisor/resume.h"

#include "supervisor/tree.h"
#include "wire/say.h"

#include <stdio.h>
#include <string.h>

/* Over an exec: what we have of them already stands in the estate, too. */
static void note_taken(struct tree *tree)
{
	program_set_take(&tree->programs, &tree->estate, tree->programs.number, &tree->programs);
	program_set_take(&tree->upgrade.other, &tree->estate, tree->upgrade.other.number, &tree->upgrade.other);
}

/* The newest number under which there is something of a set, but for `served`; 0: none. */
static uint32_t another_number(const struct estate *estate, uint32_t served)
{
	uint32_t newest = 0;

	for (uint32_t i = 0; i < estate->count; i++) {
		const struct estate_name *name = &estate->items[i].name;

		if (name->kind == ESTATE_PROGRAM && name->number != served && name->number > newest)
			newest = name->number;
	}
	return newest;
}

/* Ours are those of that set: the same files. */
static void be(struct tree *tree, const struct program_set *set)
{
	struct program_set found = tree->programs;

	tree->programs = *set;
	found.number = 0; /* it never stood in the estate */
	program_set_close(&found, &tree->estate);
}

/* Ours are another set than those that were left. */
static void be_new(struct tree *tree, uint32_t number)
{
	tree->programs.number = number;
	program_set_leave(&tree->programs, &tree->estate);
}

static void go_back(struct tree *tree, const char *why)
{
	struct upgrade *upgrade = &tree->upgrade;

	upgrade->back = true;
	snprintf(upgrade->state.text, sizeof upgrade->state.text, "%s", why);
}

static void resume(struct tree *tree, const struct program_set *served, struct program_set *other, bool whole)
{
	struct upgrade *upgrade = &tree->upgrade;
	bool under_way = upgrade->state.state == UPGRADE_UNDER_WAY;
	uint32_t free_number = (served->number > other->number ? served->number : other->number) + 1;

	if (under_way && !upgrade->back && whole && program_set_is(&tree->programs, other)) {
		be(tree, other);
		upgrade->other = *served;
		upgrade->across = true;
	} else if (program_set_is(&tree->programs, served)) {
		be(tree, served);
		if (whole && under_way)
			upgrade->other = *other;
		upgrade->across = under_way;
		if (under_way && !upgrade->back)
			go_back(tree, "the supervisor died, and its successor is of the version before");
	} else {
		be_new(tree, free_number);
		upgrade->other = *served;
		upgrade->across = true;
		upgrade->back |= !under_way;
	}
	if (whole && tree->programs.number != other->number && upgrade->other.number != other->number)
		program_set_close(other, &tree->estate);
	if (!upgrade->across)
		return;
	say(LOG_WARNING, "upgrade: %s",
		!under_way      ? "what is installed now was not asked for: the version that serves goes on"
		: upgrade->back ? "the way back is gone on with"
				: "gone on with");
	if (tree->programs.number == served->number)
		upgrade_follow(tree);
	else if (upgrade->back)
		upgrade->phase = UPGRADE_CROSSING;
	else
		upgrade->phase = UPGRADE_ASKING; /* upgrade_on_begun does */
}

static void lose(struct tree *tree, uint32_t number)
{
	struct upgrade *upgrade = &tree->upgrade;

	be_new(tree, number);
	upgrade->served = number;
	upgrade->back = false;
	if (upgrade->state.state != UPGRADE_UNDER_WAY)
		return;
	upgrade->state.state = UPGRADE_FAILED;
	snprintf(upgrade->state.text, sizeof upgrade->state.text, "the programs that served were lost with the supervisor");
}

void resume_programs(struct tree *tree)
{
	const struct estate_numbers *n = tree->estate.numbers;
	struct upgrade *upgrade = &tree->upgrade;
	struct program_set served, other = {0};
	bool whole;

	upgrade->served = n->served;
	if (upgrade->state.text[0] == '\0')
		memcpy(upgrade->state.text, n->upgrade.text, sizeof upgrade->state.text - 1);
	upgrade->state.number = n->upgrade.number;
	upgrade->state.state = n->upgrade.state;
	upgrade->changes = upgrade->state.state != UPGRADE_NEVER;
	if (upgrade->found) {
		note_taken(tree);
		return;
	}
	upgrade->back = n->upgrade_back;
	other.number = another_number(&tree->estate, n->served);
	if (program_set_take(&served, &tree->estate, n->served, &tree->programs) < 0) {
		lose(tree, (n->served > other.number ? n->served : other.number) + 1);
		return;
	}
	whole = program_set_take(&other, &tree->estate, other.number, &tree->programs) == 0;
	resume(tree, &served, &other, whole);
}
