#include "supervisor/workers.h"

#include "supervisor/tree.h"

bool workers_want(const struct pair *pair)
{
	return pair->index < pair->tree->settings.workers;
}

bool workers_retires(const struct pair *pair)
{
	return pair->ledger_fd >= 0 && !workers_want(pair);
}

void workers_fit(struct tree *tree)
{
	if (!tree->prepared || tree_is_ending(tree))
		return;
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		struct pair *pair = &tree->pairs[i];

		if (workers_want(pair) && pair->ledger_fd < 0 && !uv_is_active((uv_handle_t *)&pair->retry))
			pair_start(pair);
		else if (workers_retires(pair) || pair->retire_told)
			pair_retire(pair, !workers_want(pair));
	}
}

struct message_pairs workers_present(const struct tree *tree)
{
	struct message_pairs pairs = {0};

	for (uint32_t i = 0; i < CENSUS_RELAYS; i++)
		if (workers_want(&tree->pairs[i]) || tree->pairs[i].ledger_fd >= 0)
			pairs.present |= (uint64_t)1 << i;
	return pairs;
}
