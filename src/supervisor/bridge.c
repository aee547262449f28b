#include "supervisor/bridge.h"

#include "base/clock.h"
#include "supervisor/tree.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"
#include "wire/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TURN_MS = 5000,  /* so long one relay is given all that goes there */
	AGAIN_MS = 1000, /* what was said is said again, if nothing comes of it */
};

static struct ledger_header *header_of(const struct pair *pair)
{
	return pair->channel && !pair->table_gone ? pair->ledger.header : NULL;
}

static bool can_take(const struct pair *pair)
{
	return header_of(pair) && atomic_load(&header_of(pair)->ready) && !pair->hand_over.under_way;
}

static struct pair *taker_of(const struct pair *pair, uint64_t now_ms)
{
	struct tree *tree = pair->tree;
	uint32_t wanted = tree->settings.workers, first = pair->index + (uint32_t)(now_ms / TURN_MS);

	for (uint32_t i = 0; i < wanted; i++)
		if (can_take(&tree->pairs[(first + i) % wanted]))
			return &tree->pairs[(first + i) % wanted];
	return NULL;
}

static bool has_end(const struct pair *pair, const struct pair *other, uint64_t number)
{
	const struct ledger_bridge *end = &header_of(pair)->bridges[other->index];

	return number && end->number == number && end->incarnation == other->incarnation && end->channel >= 0;
}

static bool is_bridged(const struct pair *a, const struct pair *b)
{
	uint64_t number = header_of(a)->bridges[b->index].number;

	return has_end(a, b, number) && has_end(b, a, number);
}

static int give_end(struct pair *pair, const struct pair *other, uint64_t number, int channel)
{
	struct message_bridge body = {.number = number, .relay = other->index, .incarnation = other->incarnation};
	const int fds[] = {channel, other->ledger_reader_fd};

	return message_send(watch_fd(pair->channel), MESSAGE_BRIDGE, &body, fds);
}

/* Should only one of them come by its end, the bridge is made anew. */
static void build(struct pair *a, struct pair *b)
{
	const struct linger listed = {.l_onoff = 1}; /* the mark of what no relay takes for a new client (relay/adopt.c) */
	uint64_t number = clock_mono_ns();
	int channel[2];

	if (message_channel(channel) < 0)
		return;
	for (int i = 0; i < 2; i++)
		setsockopt(channel[i], SOL_SOCKET, SO_LINGER, &listed, sizeof listed);
	if (give_end(a, b, number, channel[0]) == 0)
		give_end(b, a, number, channel[1]);
	for (int i = 0; i < 2; i++)
		close(channel[i]);
}

void bridge_fit(struct pair *pair)
{
	uint64_t now_ms = clock_mono_ms();
	struct pair *taker = workers_retires(pair) ? taker_of(pair, now_ms) : NULL;
	struct message_give give = {taker ? taker->index + 1 : 0};

	if (!header_of(pair) || pair->hand_over.under_way || now_ms < pair->bridge_said_ms + AGAIN_MS)
		return;
	if (taker && !is_bridged(pair, taker))
		build(pair, taker);
	else if (atomic_load(&header_of(pair)->gives_to) == give.to)
		return;
	/* A channel keeps the order: first the bridge, then who is to go over it. */
	message_send(watch_fd(pair->channel), MESSAGE_GIVE, &give, NULL);
	pair->bridge_said_ms = now_ms;
}
