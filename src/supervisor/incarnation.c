#include "supervisor/incarnation.h"

#include "supervisor/capacity.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "wire/liveness.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct ledger_trial trial(void)
{
	struct ledger_trial trial = {.no_rto_max = liveness_no_rto_max()};
#ifdef KILL_POINTS
	const char *kill_one_in = getenv("TCPWARDEN_KILL_ONE_IN");

	trial.kill_one_in = kill_one_in ? (uint32_t)strtoul(kill_one_in, NULL, 10) : 0;
#endif
	return trial;
}

struct estate_name incarnation_name(const struct pair *pair, enum estate_kind kind)
{
	return (struct estate_name){kind, pair->index, pair->incarnation};
}

static void leave(struct pair *pair, enum estate_kind kind, int fd)
{
	estate_leave(&pair->tree->estate, incarnation_name(pair, kind), fd);
}

static void withdraw(struct pair *pair, enum estate_kind kind)
{
	estate_withdraw(&pair->tree->estate, incarnation_name(pair, kind));
}

void incarnation_drop(struct pair *pair)
{
	pair->started = pair->introduction_owed = false;
	succession_note(pair->tree);
	for (enum estate_kind kind = ESTATE_LEDGER; kind <= ESTATE_RELAY_END; kind++)
		withdraw(pair, kind);
	watch_close(pair->channel);
	pair->channel = NULL;
	close_fd(&pair->steward_channel[0]);
	close_fd(&pair->steward_channel[1]);
	close_fd(&pair->ledger_fd);
	close_fd(&pair->ledger_reader_fd);
	if (pair->ledger.header)
		ledger_unmap(&pair->ledger);
	memset(&pair->ledger, 0, sizeof pair->ledger);
	pair->table_gone = false;
	pair->unknown_since_ns = 0;
	pair->retiring = false;
	pair->retire_told = 0;
}

static int map_ledger(struct pair *pair)
{
	char path[64];
	int r;

	snprintf(path, sizeof path, "/proc/self/fd/%d", pair->ledger_fd);
	pair->ledger_reader_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pair->ledger_reader_fd < 0)
		return -errno;
	r = ledger_map(&pair->ledger, pair->ledger_reader_fd, false);
	if (r < 0)
		memset(&pair->ledger, 0, sizeof pair->ledger);
	return r;
}

int incarnation_make(struct pair *pair)
{
	int r;

	pair->incarnation++;
	pair->ledger_fd =
		ledger_create(pair->tree->id, pair->index, pair->incarnation, capacity_slots(capacity_limit()), trial());
	if (pair->ledger_fd < 0)
		return pair->ledger_fd;
	leave(pair, ESTATE_LEDGER, pair->ledger_fd);
	r = map_ledger(pair);
	if (r == 0)
		r = message_channel(pair->steward_channel);
	if (r < 0)
		return r;
	leave(pair, ESTATE_STEWARD_END, pair->steward_channel[0]);
	leave(pair, ESTATE_RELAY_END, pair->steward_channel[1]);
	return 0;
}

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t length = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

int incarnation_take_up(struct pair *pair, int *ret_channel)
{
	struct estate *estate = &pair->tree->estate;
	int channel, r;

	pair->incarnation = estate->numbers->pairs[pair->index].incarnation;
	pair->told = estate->numbers->pairs[pair->index].told;
	if (!estate->numbers->pairs[pair->index].started)
		return 0; /* what is there of it was never used */
	pair->started = true;
	pair->ledger_fd = estate_take(estate, incarnation_name(pair, ESTATE_LEDGER));
	channel = estate_take(estate, incarnation_name(pair, ESTATE_CHANNEL));
	pair->steward_channel[0] = estate_take(estate, incarnation_name(pair, ESTATE_STEWARD_END));
	pair->steward_channel[1] = estate_take(estate, incarnation_name(pair, ESTATE_RELAY_END));
	if (pair->ledger_fd < 0 || channel < 0 || pair->steward_channel[0] < 0 || pair->steward_channel[1] < 0)
		return -ENOENT;
	if (!is_channel(channel) || !is_channel(pair->steward_channel[0]) || !is_channel(pair->steward_channel[1]))
		return -ENOTSOCK;
	r = map_ledger(pair);
	if (r < 0)
		return r;
	if (pair->ledger.header->tree != pair->tree->id || pair->ledger.header->relay != pair->index ||
		pair->ledger.header->incarnation != pair->incarnation)
		return -EINVAL;
	*ret_channel = channel;
	return 0;
}
