#include "relay/take_over.h"

#include "relay/hand_over.h"
#include "wire/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct heir {
	int giver, former; /* out of the way of what comes */
	uint32_t total;
	int highest, next; /* numbers: the last that will come, and the first that is free */
	uint8_t *filled;   /* by number: 1: by us, since nothing comes there */
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
	if (highest > (uint32_t)sysconf(_SC_OPEN_MAX))
		return -EMFILE;
	heir->highest = (int)highest;
	heir->next = HEIR_GIVER;
	heir->filled = calloc(highest + 1, 1);
	heir->giver = move_above(HEIR_GIVER, highest);
	if (!heir->filled || heir->giver < 0)
		return heir->filled ? heir->giver : -ENOMEM;
	heir->former = move_above(HEIR_FORMER, highest);
	return heir->former < 0 ? heir->former : 0;
}

/* They come in ascending order of where they belong, and the kernel gives the lowest free numbers. So where the numbers between
 * are taken before, each comes to its place; to move each there would take ten times as long, in which no session goes on. */
static int fill_gaps(struct heir *heir, const struct hand_over_packet *coming)
{
	for (uint32_t i = 0; i < coming->count; i++) {
		if (coming->fds[i] < heir->next || coming->fds[i] > heir->highest)
			return -EPROTO;
		for (; heir->next < coming->fds[i]; heir->next++) {
			if (dup2(STDIN_FILENO, heir->next) < 0)
				return -errno;
			heir->filled[heir->next] = 1;
		}
		heir->next++;
	}
	return 0;
}

static int take_part(struct heir *heir, const struct hand_over_packet *packet, const int *came)
{
	heir->total += packet->count;
	return memcmp(came, packet->fds, packet->count * sizeof *came) == 0 ? 0 : -EPROTO;
}

static void empty_gaps(struct heir *heir)
{
	for (int fd = 0, end; fd <= heir->highest; fd = end + 1) {
		for (end = fd; end <= heir->highest && heir->filled[end]; end++)
			;
		if (end > fd)
			close_range((unsigned)fd, (unsigned)end - 1, 0);
	}
	free(heir->filled);
}

int take_over(struct inheritance *ret)
{
	struct heir heir = {.giver = HEIR_GIVER, .former = HEIR_FORMER};
	struct hand_over_packet packet = {0};
	int came[HAND_OVER_AT_ONCE], r = hand_over_send(heir.giver, &packet, HAND_OVER_HERE, NULL);

	while (r == 0) {
		r = hand_over_peek(heir.giver, &packet, -1);
		if (r == 0 && packet.kind == HAND_OVER_PART)
			r = heir.filled ? fill_gaps(&heir, &packet) : -EPROTO;
		if (r == 0)
			r = hand_over_receive(heir.giver, &packet, came, -1);
		if (r < 0 || packet.kind == HAND_OVER_WHOLE)
			break;
		if (packet.kind == HAND_OVER_BEGIN && !heir.filled)
			r = step_aside(&heir, packet.highest);
		else
			r = packet.kind == HAND_OVER_PART ? take_part(&heir, &packet, came) : -EPROTO;
	}
	if (r < 0)
		return r;
	if (packet.count != heir.total || !heir.filled)
		return -EPROTO;
	empty_gaps(&heir);
	if (dup2(heir.former, HOLDER_FORMER) < 0)
		return -errno;
	close(heir.former);
	*ret = (struct inheritance){
		.giver = heir.giver, .owner = packet.owner, .number = packet.number, .allowed_ms = packet.allowed_ms};
	return 0;
}
