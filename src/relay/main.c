/* The holder, and through it the relay: one program, since only a clone shares the descriptor table.
 *
 * The holder owns that table by merely living, clones the relay, and clones it again when it dies. It opens nothing and
 * touches no libuv, so that every relay starts from the same clean image. */
#include "relay/relay.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/syslog.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_FIRST_MS = 10, PAUSE_MOST_MS = 1000 };

static pid_t clone_relay(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
}

static void block_signals(sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, ret_old);
	/* A terminal's signals are for the supervisor, which tells what they mean. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
}

/* Waits until the relay has ended. True: and so shall we. */
static bool relay_ended_for_good(pid_t relay)
{
	sigset_t set;
	int status;
	bool stopping = false;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	while (waitpid(relay, &status, WNOHANG) == 0) {
		siginfo_t info;

		if (sigwaitinfo(&set, &info) == SIGTERM) {
			stopping = true;
			kill(relay, SIGTERM);
		}
	}
	if (stopping || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == RELAY_LEDGER_DAMAGED) {
		say(LOG_CRIT, "the ledger is damaged as a whole: its sessions cannot be found, and end");
		return true;
	}
	if (WIFSIGNALED(status))
		say(LOG_WARNING, "relay (pid %d) was ended by signal %d (%s); starting another", (int)relay, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		say(LOG_WARNING, "relay (pid %d) exited with status %d; starting another", (int)relay, WEXITSTATUS(status));
	return false;
}

/* Only deaths before a relay became ready make us slower. */
static void rest(unsigned *pause_ms, bool was_ready)
{
	struct timespec t;
	sigset_t set;

	if (was_ready) {
		*pause_ms = 0;
		return;
	}
	*pause_ms = *pause_ms ? *pause_ms * 2 : PAUSE_FIRST_MS;
	if (*pause_ms > PAUSE_MOST_MS)
		*pause_ms = PAUSE_MOST_MS;
	t = (struct timespec){*pause_ms / 1000, (long)(*pause_ms % 1000) * 1000000};
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigtimedwait(&set, NULL, &t) == SIGTERM)
		exit(0);
}

static int hold(char *title)
{
	struct ledger ledger;
	sigset_t old;
	unsigned pause_ms = 0;
	int r = ledger_map(&ledger, HOLDER_LEDGER, true);

	say_open(strchr(title, ' ') ? strchr(title, ' ') + 1 : "holder");
	if (r < 0) {
		fprintf(stderr, "tcpwarden relay: this program is started by tcpwarden(8) (no ledger at descriptor %d: %s)\n",
			HOLDER_LEDGER, strerror(-r));
		return 1;
	}
	block_signals(&old);
	for (;;) {
		pid_t me = getpid(), relay;

		atomic_store(&ledger.header->ready, 0);
		atomic_store(&ledger.header->owner, 0);
		relay = clone_relay();
		if (relay == 0) {
			sigprocmask(SIG_SETMASK, &old, NULL);
			_exit(relay_run(me, title));
		}
		if (relay < 0) {
			say(LOG_ERR, "cannot clone a relay: %s", strerror(errno));
		} else if (relay_ended_for_good(relay)) {
			return 0;
		}
		rest(&pause_ms, relay > 0 && atomic_load(&ledger.header->ready));
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts(PACKAGE_STRING);
		return 0;
	}
#ifndef __SANITIZE_ADDRESS__ /* the leak checker must look at us */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	prctl(PR_SET_NAME, "tcpw-holder");
	return hold(argv[0]);
}
