#include "relay/pipes.h"

#include "relay/kill_point.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PIPE_BYTES = 256 << 10 };

static void close_entry(struct ledger_pipe *p)
{
	int fd[2] = {p->fd[0], p->fd[1]};

	/* Unlisted before it is closed: a number that is listed but no longer ours could be anyone's. */
	p->fd[0] = p->fd[1] = -1;
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

void pipes_start(struct pipes *pipes, struct ledger_header *header, uint32_t cap, const uint8_t held[LEDGER_PIPES])
{
	pipes->header = header;
	pipes->cap = cap < LEDGER_PIPES ? cap : LEDGER_PIPES;
	pipes->idle_count = pipes->empty_count = 0;
	for (int i = LEDGER_PIPES - 1; i >= 0; i--) {
		struct ledger_pipe *p = &header->pipes[i];
		int queued = 0;

		if (held[i])
			continue;
		/* A predecessor may have died between its two descriptors, or between taking a flow off and emptying it. */
		if (p->fd[0] >= 0 && p->fd[1] >= 0 && ioctl(p->fd[0], FIONREAD, &queued) == 0 && queued == 0) {
			pipes->idle[pipes->idle_count++] = i;
			continue;
		}
		close_entry(p);
		pipes->empty[pipes->empty_count++] = i;
	}
}

static int make(struct ledger_pipe *p)
{
	int fd[2], capacity;

	if (pipe2(fd, O_NONBLOCK) < 0)
		return -errno;
	/* Above pipe-user-pages-soft the kernel gives small ones and refuses to let them grow: they work all the same. */
	fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES);
	capacity = fcntl(fd[1], F_GETPIPE_SZ);
	p->capacity = capacity > 0 ? (uint32_t)capacity : 4096;
	kill_point();
	p->fd[1] = fd[1];
	p->fd[0] = fd[0];
	return 0;
}

int pipes_take(struct pipes *pipes)
{
	int32_t index;

	if (pipes->idle_count)
		return pipes->idle[--pipes->idle_count];
	if (!pipes->empty_count || LEDGER_PIPES - pipes->empty_count >= pipes->cap)
		return -EAGAIN;
	index = pipes->empty[pipes->empty_count - 1];
	if (make(&pipes->header->pipes[index]) < 0)
		return -EAGAIN;
	pipes->empty_count--;
	return index;
}

int pipes_vacancy(struct pipes *pipes)
{
	return pipes->empty_count ? pipes->empty[--pipes->empty_count] : -EAGAIN;
}

void pipes_give(struct pipes *pipes, int index)
{
	pipes->idle[pipes->idle_count++] = index;
}

void pipes_discard(struct pipes *pipes, int index)
{
	close_entry(&pipes->header->pipes[index]);
	pipes->empty[pipes->empty_count++] = index;
}

int pipes_queued(const struct pipes *pipes, int index)
{
	int n = 0;

	if (index < 0)
		return 0;
	return ioctl(pipes->header->pipes[index].fd[0], FIONREAD, &n) < 0 ? 0 : n;
}
