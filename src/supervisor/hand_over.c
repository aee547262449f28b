#include "supervisor/hand_over.h"

#include "base/clock.h"
#include "supervisor/member.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_MOST_MS = 5000 };

/* Sessions rest meanwhile, so it must be less than what a hung relay may take: deadlines of peers allow for that (relay/pace.h).
 */
static uint32_t pause_ms(const struct tree *tree)
{
	uint32_t half_ms = tree->settings.hang_after_ms / 2;

	return half_ms < PAUSE_MOST_MS ? half_ms : PAUSE_MOST_MS;
}

static int start_heir(struct pair *pair, const struct program_set *to, const struct program_set *former, int channel)
{
	char name[32];
	const char *argv[] = {name, "--take-over", NULL};
	struct tree *tree = pair->tree;
	int former_fd = former->of[PROGRAM_RELAY].fd;

	snprintf(name, sizeof name, "tcpwarden: holder %" PRIu32, pair->index);
	return member_spawn(pair, &(struct spawn){
					  .path = to->of[PROGRAM_RELAY].path,
					  .program_fd = to->of[PROGRAM_RELAY].fd,
					  .argv = argv,
					  .fds = {channel, former_fd >= 0 ? former_fd : to->of[PROGRAM_RELAY].fd},
					  .fd_count = 2,
					  .nofile = UINT64_MAX,
					  .role = ROLE_HOLDER,
					  .privilege = &tree->privilege,
				  });
}

int hand_over_start(struct pair *pair, const struct program_set *to, const struct program_set *former)
{
	struct hand_over *h = &pair->hand_over;
	uint32_t allowed_ms = pair->tree->settings.upgrade_timeout_ms;
	struct message_hand_over ask = {.number = h->number + 1, .pause_ms = pause_ms(pair->tree), .allowed_ms = allowed_ms};
	int channel[2], r;

	if (h->under_way || !pair->channel || !member_newest_relay(pair))
		return -EBUSY;
	r = message_channel(channel);
	if (r < 0)
		return r;
	members_leave(pair, true);
	/* Should we die now, no successor may take it for of the one or of the other. */
	h->from = pair->program;
	pair->program = 0;
	r = start_heir(pair, to, former, channel[1]);
	close(channel[1]);
	if (r == 0) {
		h->heir = process_pid(pair->members->process);
		r = message_send(watch_fd(pair->channel), MESSAGE_HAND_OVER, &ask, &channel[0]);
		if (r < 0) /* it would wait for ever */
			member_kill(pair->members);
	}
	close(channel[0]);
	if (r < 0) {
		pair->program = h->from;
		members_leave(pair, false);
		return r;
	}
	h->under_way = true;
	h->late = false;
	h->to = to->number;
	h->number = ask.number;
	h->deadline_ns = clock_mono_ns() + allowed_ms * UINT64_C(1000000);
	return 0;
}

void hand_over_take_up(struct pair *pair)
{
	pair->hand_over.number = atomic_load(&pair->ledger.header->handed_over) + 1;
	pair->hand_over.to = pair->program;
}

static void finish(struct pair *pair, enum hand_over_end end)
{
	struct hand_over *h = &pair->hand_over;

	h->under_way = false;
	pair->program = end == HANDED_OVER ? h->to : h->from;
	succession_note(pair->tree);
	if (end == HANDED_OVER)
		members_end_leaving(pair);
	else
		members_leave(pair, false);
	tree_on_handed_over(pair, end);
}

void hand_over_check(struct pair *pair, uint64_t now_ns)
{
	struct hand_over *h = &pair->hand_over;
	const struct ledger_header *header = pair->ledger.header;
	struct member *heir;
	bool taken;

	if (!h->under_way && (!header || !h->number))
		return;
	if (!header) { /* all died: the pair begins anew; or it has retired, and there is nothing to hand over */
		h->number = 0;
		finish(pair, workers_want(pair) ? HAND_OVER_CAME_TO_NOTHING : HANDED_OVER);
		return;
	}
	heir = member_find(pair, h->heir);
	taken = atomic_load(&header->handed_over) == h->number;
	if (!h->under_way) {
		/* Its relay came through in the moment in which the heir was killed. */
		if (taken && atomic_load(&header->gave_way) != h->number)
			pair->program = h->to;
		return;
	}
	if (taken && atomic_load(&header->gave_way) == h->number) {
		say(LOG_ERR, "relay %" PRIu32 ": no relay of %s comes up; its sessions are back with the program before it",
			pair->index, pair->tree->programs.of[PROGRAM_RELAY].path);
		members_end_leaving(pair);
		finish(pair, HAND_OVER_FAILED);
	} else if (taken && atomic_load(&header->ready)) {
		say(LOG_NOTICE, "relay %" PRIu32 " is handed over", pair->index);
		finish(pair, HANDED_OVER);
	} else if (!taken && !heir) {
		say(LOG_ERR, "relay %" PRIu32 " was not handed over: the holder of %s has ended; the relay before it goes on",
			pair->index, pair->tree->programs.of[PROGRAM_RELAY].path);
		finish(pair, h->late ? HAND_OVER_FAILED : HAND_OVER_CAME_TO_NOTHING);
	} else if (!taken && now_ns > h->deadline_ns && !heir->killed) {
		say(LOG_ERR, "relay %" PRIu32 " is not handed over within %.3g s: the holder of %s is ended", pair->index,
			pair->tree->settings.upgrade_timeout_ms / 1e3, pair->tree->programs.of[PROGRAM_RELAY].path);
		h->late = true;
		member_kill(heir);
	}
}
