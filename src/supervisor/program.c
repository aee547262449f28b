#include "supervisor/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int program_open(struct program *ret, const char *path, uint32_t number)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret->fd = fd;
	ret->number = number;
	snprintf(ret->path, sizeof ret->path, "%s", path);
	return 0;
}

void program_close(struct program *program)
{
	if (program->fd >= 0)
		close(program->fd);
	program->fd = -1;
}
