#include "steward/hook/process_group.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process_stat {
	char state;
	int32_t group, session;
	uint64_t start_ticks;
};

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, size - 1);
	int error = n < 0 ? -errno : 0;
	close(fd);
	if (error)
		return error;
	text[n] = '\0';
	return 0;
}

static int read_stat(pid_t pid, struct process_stat *ret)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int r = read_file(path, text, sizeof text);
	if (r)
		return r;

	/* The second field is the program's name in parentheses, and may hold any byte: what follows its last one is regular. */
	const char *rest = strrchr(text, ')');
	int group, session;
	if (!rest || sscanf(rest + 1, " %c %*d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
			     &ret->state, &group, &session, &ret->start_ticks) != 4)
		return -EINVAL;
	ret->group = group;
	ret->session = session;
	return 0;
}

static bool has_ended(const struct process_stat *stat)
{
	return stat->state == 'Z' || stat->state == 'X' || stat->state == 'x';
}

static const char *boot_id(void)
{
	static char id[BOOT_ID_SIZE];
	if (!*id && !read_file("/proc/sys/kernel/random/boot_id", id, sizeof id))
		id[strcspn(id, "\n")] = '\0';
	return id;
}

int process_group_identify(struct process_group *ret, pid_t pid)
{
	struct process_stat stat;
	int r = read_stat(pid, &stat);
	if (r)
		return r;
	*ret = (struct process_group){.pid = pid, .start_ticks = stat.start_ticks};
	snprintf(ret->boot, sizeof ret->boot, "%s", boot_id());
	return 0;
}

/* Members that outlived their leader. The group's number is not given to a new process while it has members, so what bears it, in
 * a session of that number, and began no earlier, is ours. */
static bool members_live(const struct process_group *group)
{
	DIR *directory = opendir("/proc");
	if (!directory)
		return true; /* kill(2) found the group, and nothing says that it has ended */

	bool found = false;
	struct dirent *entry;
	while (!found && (entry = readdir(directory))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		struct process_stat stat;
		if (read_stat((pid_t)strtol(entry->d_name, NULL, 10), &stat))
			continue;
		found = stat.group == group->pid && stat.session == group->pid && stat.start_ticks >= group->start_ticks &&
			!has_ended(&stat);
	}
	closedir(directory);
	return found;
}

bool process_group_lives(const struct process_group *group)
{
	if (group->pid <= 1 || strcmp(group->boot, boot_id()))
		return false;

	struct process_stat leader;
	if (!read_stat(group->pid, &leader)) {
		if (leader.start_ticks != group->start_ticks)
			return false; /* the number has a new bearer, so nothing of the old group was left */
		if (!has_ended(&leader))
			return true;
	}
	if (kill(-group->pid, 0) && errno == ESRCH)
		return false;
	return members_live(group);
}

void process_group_signal(const struct process_group *group, int signal)
{
	if (!process_group_lives(group))
		return;
	/* No such group: it has gone meanwhile, or its leader is a child that has not come to setsid(2) yet. */
	if (kill(-group->pid, signal) && errno == ESRCH)
		kill(group->pid, signal);
}
