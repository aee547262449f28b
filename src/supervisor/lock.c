#include "supervisor/lock.h"

#include "supervisor/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ERROR_SIZE = 512, TRY_EVERY_MS = 10 };

/* Field 22 of /proc/PID/stat, proc(5); 0 if it cannot be told. Together with the pid it names a process for good. */
static unsigned long long start_time(long pid)
{
	char text[1024], *at;
	unsigned long long ticks = 0;

	if (!proc_read((pid_t)pid, "stat", text, sizeof text))
		return 0;
	at = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		sscanf(at, " %llu", &ticks);
	return ticks;
}

static void tell_holder(int fd, const char *directory, char *error)
{
	char text[64] = "";
	long pid = 0;
	unsigned long long started = 0, now;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n > 0)
		text[n] = '\0';
	if (sscanf(text, "%ld %llu", &pid, &started) < 1 || pid <= 0) {
		snprintf(error, ERROR_SIZE,
			"the state directory %s is in use by another tcpwarden; stop that one, or give this one a "
			"state_directory of its own",
			directory);
		return;
	}
	now = start_time(pid);
	if ((kill((pid_t)pid, 0) < 0 && errno == ESRCH) || (now && started && now != started))
		snprintf(error, ERROR_SIZE,
			"the state directory %s is still held by the sessions of a tcpwarden (process %ld) that has died; "
			"they end by themselves (orphan_timeout): try again in some seconds",
			directory, pid);
	else
		snprintf(error, ERROR_SIZE,
			"the state directory %s is in use by tcpwarden process %ld; stop that one (kill %ld), "
			"or give this one a state_directory of its own",
			directory, pid, pid);
}

static void write_owner(int directory_fd)
{
	char text[64];
	int fd = openat(directory_fd, "lock", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int length;

	if (fd < 0)
		return; /* the lock is what counts; the pid only serves a message */
	length = snprintf(text, sizeof text, "%ld %llu\n", (long)getpid(), start_time((long)getpid()));
	if (pwrite(fd, text, (size_t)length, 0) == length)
		(void)!ftruncate(fd, length);
	close(fd);
}

int lock_keep(int fd, const char *state_directory)
{
	int directory_fd;

	/* flock(2): no change on an open file that has it already. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	directory_fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd >= 0) {
		write_owner(directory_fd);
		close(directory_fd);
	}
	return 0;
}

static int fail(char *error, const char *directory, const char *what, int r, const char *remedy)
{
	snprintf(error, ERROR_SIZE, "the state directory %s: %s: %s%s", directory, what, strerror(-r), remedy);
	return r;
}

static int lock(int fd, uint32_t wait_ms)
{
	for (uint32_t ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms += TRY_EVERY_MS) {
		if (errno != EWOULDBLOCK || ms >= wait_ms)
			return -errno;
		usleep(TRY_EVERY_MS * 1000);
	}
	return 0;
}

int lock_take(const char *state_directory, uint32_t wait_ms, char error[512])
{
	const char *remedy = " (make it and give it to the user that tcpwarden runs as: "
			     "install -d -m 0750 -o USER -g GROUP DIRECTORY; or set state_directory)";
	int directory_fd, fd, r;

	if (mkdir(state_directory, 0750) < 0 && errno != EEXIST)
		return fail(error, state_directory, "cannot be made", -errno, remedy);
	directory_fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return fail(error, state_directory, "cannot be opened", -errno, remedy);
	fd = openat(directory_fd, "lock", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0) {
		r = -errno;
		close(directory_fd);
		return fail(error, state_directory, "its file lock cannot be opened", r, remedy);
	}
	r = lock(fd, wait_ms);
	if (r < 0) {
		if (r == -EWOULDBLOCK)
			tell_holder(fd, state_directory, error);
		else
			fail(error, state_directory, "its file lock cannot be locked", r, "");
		close(fd);
		close(directory_fd);
		return r;
	}
	write_owner(directory_fd);
	close(directory_fd);
	return fd;
}
