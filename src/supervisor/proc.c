#include "supervisor/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool proc_read(pid_t pid, const char *file, char *ret, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, ret, size - 1);
	close(fd);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool proc_is_of_our_cgroup(pid_t pid)
{
	char its[4096], ours[sizeof its];

	return proc_read(pid, "cgroup", its, sizeof its) && proc_read(getpid(), "cgroup", ours, sizeof ours) &&
	       strcmp(its, ours) == 0;
}
