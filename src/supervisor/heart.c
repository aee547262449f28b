#include "supervisor/heart.h"

#include "wire/shared.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void heart_init(struct heart *heart)
{
	heart->fd = -1;
	heart->pulse = NULL;
}

int heart_take(struct heart *heart, int fd)
{
	size_t size;
	void *at;
	int r;

	heart->fd = fd;
	r = fd < 0 ? -ENOENT : shared_map(fd, true, false, sizeof *heart->pulse, &at, &size);
	if (r < 0)
		return r;
	if (size != sizeof *heart->pulse) {
		munmap(at, size);
		return -EPROTO;
	}
	heart->pulse = at;
	return 0;
}

int heart_make(struct heart *heart)
{
	int fd = shared_create("tcpwarden-pulse", sizeof *heart->pulse), r;

	if (fd < 0)
		return fd;
	r = shared_seal(fd, false);
	if (r < 0) {
		close(fd);
		return r;
	}
	return heart_take(heart, fd);
}

void heart_fini(struct heart *heart)
{
	if (heart->pulse)
		munmap(heart->pulse, sizeof *heart->pulse);
	if (heart->fd >= 0)
		close(heart->fd);
	heart_init(heart);
}
