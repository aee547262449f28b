#include "supervisor/end_tree.h"

#include "base/clock.h"
#include "wire/say.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	LOOK_MS = 50,
	PATIENCE_MS = 80000, /* below TimeoutStopSec, which counts for us as well */
	KILLED_MS = 5000,
};

#define TITLE "tcpwarden: "

static bool read_of(const char *process, const char *file, char *ret, size_t size)
{
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%s/%s", process, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, ret, size - 1);
	close(fd);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Is it a role, in that cgroup? Relays, too, since they outlive a holder. */
static bool is_ours(const char *process, const char *cgroup, char title[64])
{
	char its[4096];

	return read_of(process, "cmdline", title, 64) && strncmp(title, TITLE, strlen(TITLE)) == 0 &&
	       read_of(process, "cgroup", its, sizeof its) && strcmp(its, cgroup) == 0;
}

/* Sends the signal (0: none) to those whose title begins so. How many there are. */
static unsigned each(const char *cgroup, const char *beginning, int signal)
{
	DIR *processes = opendir("/proc");
	unsigned count = 0;

	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		char title[64];
		int pidfd;

		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		pidfd = pidfd_open((pid_t)atol(entry->d_name), 0); /* before it is looked at, so that it is that one */
		if (pidfd < 0)
			continue;
		if (is_ours(entry->d_name, cgroup, title) && strncmp(title, beginning, strlen(beginning)) == 0) {
			count++;
			if (signal && pidfd_send_signal(pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
				say(LOG_ERR, "%s (process %s) cannot be sent signal %d: %s", title, entry->d_name, signal,
					strerror(errno));
		}
		close(pidfd);
	}
	if (processes)
		closedir(processes);
	return count;
}

int end_tree(void)
{
	uint64_t since_ms = clock_mono_ms(), now_ms;
	bool told = false, killed = false;
	char cgroup[4096];

	say_open("end-tree");
	/* Elsewhere our cgroup may hold other trees. */
	if (!getenv("SERVICE_RESULT")) {
		say(LOG_ERR, "--end-tree is for ExecStopPost= of the unit");
		return EX_USAGE;
	}
	if (!read_of("self", "cgroup", cgroup, sizeof cgroup)) {
		say(LOG_ERR, "the cgroup of this process cannot be read");
		return EX_OSERR;
	}
	while (each(cgroup, TITLE, 0)) {
		now_ms = clock_mono_ms();
		if (!told)
			say(LOG_NOTICE, "the supervisor is dead, and the service is stopped: the rest of the tree is ended");
		/* A steward ends all in order. Without one, holders end their relays, and the next start releases what was held.
		 */
		if (!each(cgroup, TITLE "steward", told ? 0 : SIGTERM))
			each(cgroup, TITLE "holder", SIGTERM);
		told = true;
		if (now_ms > since_ms + PATIENCE_MS) {
			if (!killed)
				say(LOG_ERR, "it does not end: killed; what is still leased is released at the next start");
			killed = true;
			each(cgroup, TITLE, SIGKILL);
		}
		if (now_ms > since_ms + PATIENCE_MS + KILLED_MS)
			return EXIT_FAILURE;
		usleep(LOOK_MS * 1000);
	}
	return EXIT_SUCCESS;
}
