#include "supervisor/end_tree.h"

#include "base/clock.h"
#include "supervisor/proc.h"
#include "supervisor/tree.h"
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
	PATIENCE_MS = 60000, /* all of these together below TimeoutStopSec, which counts for us as well */
	KILLED_MS = 5000,
	RELEASE_MS = 15000, /* at least */
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

/* 0: nobody is left. *steward_ended: and a steward has ended them, and so released what they had. */
static int end_all(uint64_t since_ms, bool *steward_ended)
{
	bool told = false, killed = false;

	*steward_ended = false;
	while (each(TITLE, 0)) {
		uint64_t now_ms = clock_mono_ms();

		if (!told)
			say(LOG_NOTICE, "the supervisor is dead, and the service is stopped: the rest of the tree is ended");
		if (each(TITLE "steward", told ? 0 : SIGTERM)) {
			*steward_ended = true;
		} else {
			*steward_ended = *steward_ended && !each(TITLE "holder", 0);
			each(TITLE "holder", SIGTERM);
		}
		told = true;
		if (now_ms > since_ms + PATIENCE_MS) {
			if (!killed)
				say(LOG_ERR, "it does not end: killed");
			killed = true;
			*steward_ended = false;
			each(TITLE, SIGKILL);
		}
		if (now_ms > since_ms + PATIENCE_MS + KILLED_MS)
			return -ETIMEDOUT;
		usleep(LOOK_MS * 1000);
	}
	return 0;
}

/* One that ended by itself had nothing left to release, or could not start and has said why. */
static bool was_killed(void)
{
	const char *code = getenv("EXIT_CODE");

	return code && strcmp(code, "exited") != 0;
}

/* systemd keeps it for a successor. From here on we have nothing to say to it. */
static void let_lock_go(void)
{
	char name[ESTATE_NAME_SIZE];
	struct notify notify;

	notify_init(&notify);
	unsetenv("FDSTORE");
	estate_format_name(&(struct estate_name){ESTATE_LOCK, 0, 0}, name);
	for (int ms = 0; ms < LOOK_MS && !notify_store(&notify, name, -1); ms++)
		usleep(1000);
	notify_fini(&notify);
}

int end_tree(struct tree *tree, const char *self, const char *config)
{
	uint64_t since_ms = clock_mono_ms(), past_ms;
	bool steward_ended;

	say_open("end-tree");
	/* Elsewhere our cgroup may hold other trees. */
	if (!getenv("SERVICE_RESULT")) {
		say(LOG_ERR, "--end-tree is for ExecStopPost= of the unit");
		return EX_USAGE;
	}
	if (end_all(since_ms, &steward_ended) < 0)
		return EXIT_FAILURE;
	if (steward_ended || !was_killed())
		return EXIT_SUCCESS;
	let_lock_go();
	past_ms = clock_mono_ms() - since_ms;
	return tree_release(
		tree, self, config, past_ms + RELEASE_MS < PATIENCE_MS ? (uint32_t)(PATIENCE_MS - past_ms) : RELEASE_MS);
}
