/* What the steward is told, as far as it does not know it. */
#include "supervisor/steward.h"

#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"

#include <errno.h>
#include <string.h>

/* The next thing that it does not know. 1: said; 0: it knows all that it can be told now; -errno: does not fit now. */
static int say_next(struct steward *steward)
{
	struct tree *tree = steward->tree;
	struct message_pairs pairs = workers_pairs(tree);
	int fd = watch_fd(steward->channel), r;
	bool all_told = true;

	if (tree->accepted && !steward->told.resume && steward->state == STEWARD_STARTING) {
		struct message_generation generation = {tree->accepted};

		r = message_send(fd, MESSAGE_RESUME, &generation, tree->accepted_fds);
		steward->told.resume = r == 0;
		return r < 0 ? r : 1;
	}
	if (steward->state < STEWARD_BEGUN)
		return 0;
	if (steward->told.inherited < tree->inherited.count) {
		int i = steward->told.inherited;

		r = message_send(fd, MESSAGE_INHERITED, &tree->inherited.sockets[i].name, &tree->inherited.sockets[i].fd);
		steward->told.inherited += r == 0;
		return r < 0 ? r : 1;
	}
	if (!steward->told.begin) {
		struct message_begin begin = {
			.tree = tree->id,
			.workers = tree->settings.workers,
			.first = steward->starts == 1,
			.separated = tree->privilege.separated,
			.steward_starts = steward->starts,
		};

		r = message_send(fd, MESSAGE_BEGIN, &begin, &tree->census_fd);
		steward->told.begin = r == 0;
		return r < 0 ? r : 1;
	}
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		struct pair *pair = &tree->pairs[i];

		if (pair->told && (pair->told != pair->incarnation || pair->ledger_fd < 0)) {
			struct message_pair lost = {i, pair->told};

			r = message_send(fd, MESSAGE_PAIR_LOST, &lost, NULL);
			pair->told = r < 0 ? pair->told : 0;
			return r < 0 ? r : 1;
		}
		if (!pair->told && pair->ledger_fd >= 0) {
			struct message_pair here = {i, pair->incarnation};
			int fds[2] = {pair->ledger_reader_fd, pair->steward_channel[0]};

			r = message_send(fd, MESSAGE_PAIR, &here, fds);
			pair->told = r < 0 ? 0 : pair->incarnation;
			return r < 0 ? r : 1;
		}
		all_told &= pair->told || !(pairs.present >> i & 1);
	}
	if (all_told && memcmp(&pairs, &steward->told.pairs, sizeof pairs) != 0) {
		r = message_send(fd, MESSAGE_PAIRS, &pairs, NULL);
		if (r == 0)
			steward->told.pairs = pairs;
		return r < 0 ? r : 1;
	}
	if (tree->stop_wanted && !steward->told.stop) {
		struct message_deadline deadline = {tree->stop_deadline_ms};

		r = message_send(fd, MESSAGE_STOP, &deadline, NULL);
		steward->told.stop = r == 0;
		return r < 0 ? r : 1;
	}
	if (tree->upgrade.changes != steward->told.upgrade) {
		r = message_send(fd, MESSAGE_UPGRADE_STATE, &tree->upgrade.state, NULL);
		steward->told.upgrade = r < 0 ? steward->told.upgrade : tree->upgrade.changes;
		return r < 0 ? r : 1;
	}
	if (tree->reload_wanted && !steward->told.reload && steward->state == STEWARD_READY) {
		r = message_send(fd, MESSAGE_RELOAD, NULL, NULL);
		steward->told.reload = r == 0;
		return r < 0 ? r : 1;
	}
	return 0;
}

void steward_say(struct steward *steward)
{
	int r;

	if (!steward->channel || !steward->process || steward->killed)
		return;
	do
		r = say_next(steward);
	while (r > 0);
	succession_note(steward->tree);
	/* Full: when it has read. Too many descriptors under way (ETOOMANYREFS) ends when others read: the tick tries again. */
	watch_events(steward->channel, r == -EAGAIN || r == -ENOBUFS ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}
