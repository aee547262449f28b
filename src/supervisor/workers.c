#include "supervisor/workers.h"

#include "base/clock.h"
#include "supervisor/bridge.h"
#include "supervisor/capacity.h"
#include "supervisor/tree.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	ALLOWED_MS = 10000,
	DESCRIPTORS = 9,        /* of ours for a pair, also while it is handed over */
	DESCRIPTORS_SPARE = 16, /* without any we could not hear of a relay that takes another one's place */
};

bool workers_want(const struct pair *pair)
{
	return pair->index < pair->tree->settings.workers || pair->index < pair->tree->growth.asked.workers;
}

bool workers_retires(const struct pair *pair)
{
	return pair->ledger_fd >= 0 && !workers_want(pair);
}

static bool is_running(const struct pair *pair)
{
	return pair->ledger.header && atomic_load_explicit(&pair->ledger.header->ready, memory_order_relaxed);
}

static void fail(struct growth *growth, int error, uint32_t relay, const char *why)
{
	snprintf(growth->text, sizeof growth->text, "relay %" PRIu32 " cannot be started: %s", relay, why);
	growth->error = error;
	growth->answered = growth->asked.number;
	growth->asked.workers = 0;
}

static void check_growth(struct tree *tree)
{
	struct growth *growth = &tree->growth;

	if (!growth->asked.workers || growth->answered == growth->asked.number)
		return;
	for (uint32_t i = 0; i < growth->asked.workers; i++) {
		if (is_running(&tree->pairs[i]))
			continue;
		if (clock_mono_ms() > growth->deadline_ms)
			fail(growth, -ETIMEDOUT, i, "it does not come up in time");
		return;
	}
	growth->answered = growth->asked.number;
}

void workers_fit(struct tree *tree)
{
	if (!tree->prepared || tree_is_ending(tree))
		return;
	check_growth(tree);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		struct pair *pair = &tree->pairs[i];

		if (workers_want(pair) && pair->ledger_fd < 0 && !uv_is_active((uv_handle_t *)&pair->retry))
			pair_start(pair);
		else if (workers_retires(pair) || pair->retire_told)
			pair_retire(pair, !workers_want(pair));
		bridge_fit(pair);
	}
}

/* Told before any of them is started, since whoever runs has a use for descriptors, too. */
static void check_room(struct tree *tree)
{
	uint32_t more = 0;

	for (uint32_t i = 0; i < tree->growth.asked.workers; i++)
		more += tree->pairs[i].ledger_fd < 0;
	if (more && capacity_left() < more * DESCRIPTORS + DESCRIPTORS_SPARE)
		fail(&tree->growth, -EMFILE, tree->growth.asked.workers - more, "too few descriptors are left (LimitNOFILE=)");
}

void workers_on_asked(struct tree *tree, const struct message_workers *asked)
{
	tree->growth = (struct growth){.asked = *asked, .deadline_ms = clock_mono_ms() + ALLOWED_MS};
	if (asked->workers > CENSUS_RELAYS)
		tree->growth.asked.workers = CENSUS_RELAYS;
	check_room(tree);
	workers_fit(tree);
}

void workers_forget_asked(struct tree *tree)
{
	tree->growth = (struct growth){0};
	workers_fit(tree);
}

void workers_on_failed(const struct pair *pair, const char *why)
{
	struct tree *tree = pair->tree;

	if (pair->index >= tree->settings.workers && pair->index < tree->growth.asked.workers &&
		tree->growth.answered != tree->growth.asked.number)
		fail(&tree->growth, -EAGAIN, pair->index, why);
}

struct message_pairs workers_pairs(const struct tree *tree)
{
	struct message_pairs pairs = {.answered = tree->growth.answered, .error = tree->growth.error};

	memcpy(pairs.text, tree->growth.text, sizeof pairs.text);
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if (workers_want(&tree->pairs[i]) || tree->pairs[i].ledger_fd >= 0)
			pairs.present |= (uint64_t)1 << i;
	return pairs;
}
