#include "supervisor/passage.h"

#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int passage_create(struct passage **ret, int *ret_fd)
{
	int fd = shared_create("tcpwarden-passage", sizeof **ret), r;
	struct passage *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r = p == MAP_FAILED ? -errno : shared_seal(fd, false);
	if (r < 0) {
		if (p != MAP_FAILED)
			munmap(p, sizeof *p);
		close(fd);
		return r;
	}
	p->magic = PASSAGE_MAGIC;
	p->version = PASSAGE_VERSION;
	p->size = sizeof *p;
	*ret = p;
	*ret_fd = fd;
	return 0;
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size);
}

static int check(const struct passage *p, size_t size)
{
	if (p->magic != PASSAGE_MAGIC || p->version != PASSAGE_VERSION || p->size != sizeof *p || size != sizeof *p)
		return -EPROTO;
	if (p->count > PASSAGE_ITEMS_MAX || !ends(p->error, sizeof p->error))
		return -EINVAL;
	for (int i = 0; i < PROGRAMS; i++)
		if (!ends(p->path[i], sizeof p->path[i]))
			return -EINVAL;
	for (uint32_t i = 0; i < p->count; i++)
		if (!ends(p->items[i].name, sizeof p->items[i].name) || fcntl(p->items[i].fd, F_GETFD) < 0)
			return -EINVAL;
	return 0;
}

int passage_open(struct passage **ret, int fd)
{
	size_t size;
	void *at;
	int r = shared_map(fd, true, false, 2 * sizeof(uint32_t) + sizeof(uint64_t), &at, &size);

	if (r < 0)
		return r;
	r = check(at, size);
	if (r < 0) {
		munmap(at, size);
		return r;
	}
	*ret = at;
	return 0;
}

void passage_close(struct passage *passage)
{
	munmap(passage, sizeof *passage);
}

int passage_add(struct passage *passage, const char *name, int fd)
{
	struct passage_item *item = &passage->items[passage->count];

	if (passage->count == PASSAGE_ITEMS_MAX)
		return -ENOSPC;
	snprintf(item->name, sizeof item->name, "%s", name);
	item->fd = fd;
	passage->count++;
	return 0;
}

int passage_find(const struct passage *passage, const char *name)
{
	for (uint32_t i = 0; i < passage->count; i++)
		if (strcmp(passage->items[i].name, name) == 0)
			return passage->items[i].fd;
	return -1;
}

int passage_find_program(const struct passage *passage, enum passage_side side, enum program_kind kind)
{
	struct estate_name name = program_name(kind, passage->number[side]);
	char text[ESTATE_NAME_SIZE];

	estate_format_name(&name, text);
	return passage_find(passage, text);
}

void passage_keep(const struct passage *passage, int fd, bool over_exec)
{
	fcntl(fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
	for (uint32_t i = 0; i < passage->count; i++)
		fcntl(passage->items[i].fd, F_SETFD, over_exec ? 0 : FD_CLOEXEC);
}
