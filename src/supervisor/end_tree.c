#include "supervisor/end_tree.h"

#include "base/clock.h"
#include "supervisor/proc.h"
#include "wire/say.h"

#include <dirent.h>
#include <errno.h>
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

/* Is it a role of the tree that ran in our cgroup? */
static bool is_ours(pid_t pid, char title[64])
{
	return proc_read(pid, "cmdline", title, 64) && strncmp(title, TITLE, strlen(TITLE)) == 0 && proc_is_of_our_cgroup(pid);
}

/* Sends the signal (0: none) to those whose title begins so. How many there are. */
static unsigned each(const char *beginning, int signal)
{
	DIR *processes = opendir("/proc");
	unsigned count = 0;

	for (struct dirent *entry; processes && (entry = readdir(processes));) {
		pid_t pid = (pid_t)atol(entry->d_name);
		int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1; /* before it is looked at, so that it is that one */
		char title[64];

		if (pidfd < 0)
			continue;
		if (is_ours(pid, title) && strncmp(title, beginning, strlen(beginning)) == 0) {
			count++;
			if (signal && pidfd_send_signal(pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
				say(LOG_ERR, "%s (process %ld) cannot be sent signal %d: %s", title, (long)pid, signal,
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

	say_open("end-tree");
	/* Elsewhere our cgroup may hold other trees. */
	if (!getenv("SERVICE_RESULT")) {
		say(LOG_ERR, "--end-tree is for ExecStopPost= of the unit");
		return EX_USAGE;
	}
	while (each(TITLE, 0)) {
		now_ms = clock_mono_ms();
		if (!told)
			say(LOG_NOTICE, "the supervisor is dead, and the service is stopped: the rest of the tree is ended");
		/* A steward ends all in order. Without one holders end their relays, and the next start releases. */
		if (!each(TITLE "steward", told ? 0 : SIGTERM))
			each(TITLE "holder", SIGTERM);
		told = true;
		if (now_ms > since_ms + PATIENCE_MS) {
			if (!killed)
				say(LOG_ERR, "it does not end: killed; what is still leased is released at the next start");
			killed = true;
			each(TITLE, SIGKILL);
		}
		if (now_ms > since_ms + PATIENCE_MS + KILLED_MS)
			return EXIT_FAILURE;
		usleep(LOOK_MS * 1000);
	}
	return EXIT_SUCCESS;
}
