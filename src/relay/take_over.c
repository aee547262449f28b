#include "relay/take_over.h"

#include "relay/hand_over.h"
#include "wire/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct heir {
	int giver, former; /* out of the way of what comes */
	uint32_t total;
};

void take_reserved_numbers(void)
{
	for (int fd = HOLDER_FORMER; fd < HOLDER_INHERITED_END; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			dup2(STDIN_FILENO, fd);
}

static int move_above(int fd, uint32_t highest)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)highest + 1);

	if (moved < 0)
		return -errno;
	close(fd);
	return moved;
}

static int step_aside(struct heir *heir, uint32_t highest)
{
	if (highest < HOLDER_INHERITED_END)
		highest = HOLDER_INHERITED_END;
	heir->giver = move_above(HEIR_GIVER, highest);
	if (heir->giver < 0)
		return heir->giver;
	heir->former = move_above(HEIR_FORMER, highest);
	return heir->former < 0 ? heir->former : 0;
}

/* They come in ascending order of where they belong, and the kernel gives the lowest free numbers: none comes above its place. So
 * from the last to the first each finds its place free, or left by one that came there and was moved on. */
static int place(const struct hand_over_packet *packet, const int *came)
{
	for (uint32_t i = packet->count; i-- > 0;) {
		if (came[i] > packet->fds[i] || (i > 0 && packet->fds[i - 1] >= packet->fds[i]))
			return -EPROTO;
		if (came[i] == packet->fds[i])
			continue;
		if (dup2(came[i], packet->fds[i]) < 0)
			return -errno;
		close(came[i]);
	}
	return 0;
}

int take_over(struct inheritance *ret)
{
	struct heir heir = {.giver = HEIR_GIVER, .former = HEIR_FORMER};
	struct hand_over_packet packet = {0};
	int came[HAND_OVER_AT_ONCE], r = hand_over_send(heir.giver, &packet, HAND_OVER_HERE, NULL);

	while (r == 0) {
		r = hand_over_receive(heir.giver, &packet, came, -1);
		if (r < 0 || packet.kind == HAND_OVER_WHOLE)
			break;
		if (packet.kind == HAND_OVER_BEGIN && heir.giver == HEIR_GIVER)
			r = step_aside(&heir, packet.highest);
		else if (packet.kind == HAND_OVER_PART && heir.giver != HEIR_GIVER)
			r = place(&packet, came);
		else
			r = -EPROTO;
		heir.total += packet.kind == HAND_OVER_PART ? packet.count : 0;
	}
	if (r < 0)
		return r;
	if (packet.count != heir.total)
		return -EPROTO;
	if (dup2(heir.former, HOLDER_FORMER) < 0)
		return -errno;
	close(heir.former);
	*ret = (struct inheritance){
		.giver = heir.giver, .owner = packet.owner, .number = packet.number, .allowed_ms = packet.allowed_ms};
	return 0;
}
