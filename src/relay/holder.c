#include "relay/holder.h"

#include "base/clock.h"
#include "relay/relay.h"
#include "relay/take_over.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/syslog.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PAUSE_FIRST_MS = 10,
	PAUSE_MOST_MS = 1000,
	TRIAL_TRIES = 3,  /* relays that may die before one is ready: one may have been killed, three are no accident */
	TRIAL_MS = 10000, /* where the giver's word for it was lost by an exec */
	TRIAL_LOOK_MS = 100,
	MOVES_MOST = 64, /* of the owner word by successors, in the time in which a holder sees its relay's death */
};

struct holder {
	struct ledger ledger;
	char *title;
	sigset_t old;                   /* the mask that relays start with */
	struct inheritance inheritance; /* giver < 0: none, or our relay has become the owner */
	uint64_t owner;                 /* the ledger's owner word that our relay is to move on from */
	uint64_t trial_end_ms;
	int trial_deaths;
};

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

/* The former program is still at its place: a relay that is ready removes it (relay.c). */
static bool is_on_trial(void)
{
	struct stat st;

	return fstat(HOLDER_FORMER, &st) == 0 && S_ISREG(st.st_mode);
}

/* Waits until the relay has ended; it stays to be reaped, so that its pid is no one else's yet. True: SIGTERM came. */
static bool wait_relay(const struct holder *holder, pid_t relay)
{
	const struct timespec look = {0, TRIAL_LOOK_MS * 1000000};
	bool stopping = false;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)relay, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == relay)
			return stopping;
		if ((is_on_trial() ? sigtimedwait(&set, &info, &look) : sigwaitinfo(&set, &info)) == SIGTERM) {
			stopping = true;
			kill(relay, SIGTERM);
		}
		if (clock_mono_ms() >= holder->trial_end_ms && is_on_trial())
			kill(relay, SIGKILL);
	}
}

/* Successors move the word on from where our relay had it. What stands there otherwise was written to wrong memory. */
static bool is_of_successor(const struct holder *holder, uint64_t owner)
{
	return (uint32_t)((owner >> 32) - (holder->owner >> 32)) <= MOVES_MOST;
}

/* After its relay's death. False: the sessions are another relay's now, or still the giver's. */
static bool is_still_owner(struct holder *holder, pid_t relay)
{
	struct ledger_header *header = holder->ledger.header;
	uint64_t owner = atomic_load(&header->owner);

	if (owner == holder->owner) /* it died before it had moved it */
		return holder->inheritance.giver < 0;
	/* A giver whose relay was killed and its heir may both come here: one of them moves the word. */
	if (!is_of_successor(holder, owner))
		say(LOG_CRIT, "the owner in the ledger cannot be right; it is ours");
	else if (ledger_owner_pid(owner) != relay)
		return false;
	if (!ledger_owner_move(header, owner, 0))
		return false;
	if (holder->inheritance.giver >= 0) /* it may not have come so far as to say so */
		atomic_store(&header->handed_over, holder->inheritance.number);
	holder->inheritance.giver = -1;
	holder->owner = ledger_owner_next(owner, 0);
	return true;
}

static void tell_death(pid_t relay, int status)
{
	if (WIFSIGNALED(status))
		say(LOG_WARNING, "relay (pid %d) was ended by signal %d (%s); starting another", (int)relay, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		say(LOG_WARNING, "relay (pid %d) exited with status %d; starting another", (int)relay, WEXITSTATUS(status));
}

/* Waits until the relay has ended. True: and so shall we. */
static bool relay_ended_for_good(struct holder *holder, pid_t relay)
{
	bool stopping = wait_relay(holder, relay), ours = is_still_owner(holder, relay);
	int status = 0;

	waitpid(relay, &status, 0);
	if (stopping || !ours || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return true;
	/* On trial it may be ours that is wrong. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == RELAY_LEDGER_DAMAGED && !is_on_trial()) {
		say(LOG_CRIT, "the ledger is damaged as a whole: its sessions cannot be found, and end");
		return true;
	}
	tell_death(relay, status);
	return false;
}

/* No relay of this program can run: the sessions, all of them in our table, get the one before it. Returns only if that cannot
 * run, either. */
static void give_way(const struct holder *holder)
{
	struct ledger_header *header = holder->ledger.header;
	char *argv[] = {holder->title, NULL};

	say(LOG_ERR, "no relay of this program comes up: the one before it goes on");
	atomic_store(&header->gave_way, atomic_load(&header->handed_over));
	fcntl(HOLDER_FORMER, F_SETFD, FD_CLOEXEC);
	syscall(SYS_execveat, HOLDER_FORMER, "", argv, environ, AT_EMPTY_PATH);
	say(LOG_ERR, "cannot become that program: %s", strerror(errno));
	dup2(STDIN_FILENO, HOLDER_FORMER);
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

static void be_relay(const struct holder *holder, pid_t me)
{
	bool inherits = holder->inheritance.giver >= 0;
	const struct relay_birth birth = {me, holder->owner, inherits ? &holder->inheritance : NULL};

	/* Whoever does not own yet must not outlive its holder: what it has of the sessions' sockets would keep them open. */
	if (inherits && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != me))
		_exit(1);
	sigprocmask(SIG_SETMASK, &holder->old, NULL);
	_exit(relay_run(&birth, holder->title));
}

static int hold(struct holder *holder)
{
	struct ledger_header *header = holder->ledger.header;
	unsigned pause_ms = 0;

	for (;;) {
		pid_t me = getpid(), relay;
		bool was_ready;

		if (holder->inheritance.giver < 0)
			atomic_store(&header->ready, 0);
		relay = clone_relay();
		if (relay == 0)
			be_relay(holder, me);
		if (relay < 0)
			say(LOG_ERR, "cannot clone a relay: %s", strerror(errno));
		else if (relay_ended_for_good(holder, relay))
			return 0;
		was_ready = relay > 0 && atomic_load(&header->ready);
		if (is_on_trial() && (++holder->trial_deaths >= TRIAL_TRIES || clock_mono_ms() >= holder->trial_end_ms))
			give_way(holder);
		rest(&pause_ms, was_ready);
	}
}

/* Of a ledger that no relay owns, or that we, as its relay, owned until now. */
static int begin(struct holder *holder)
{
	struct ledger_header *header = holder->ledger.header;
	uint64_t owner = atomic_load(&header->owner);

	if (ledger_owner_pid(owner) == getpid() && ledger_owner_move(header, owner, 0))
		owner = ledger_owner_next(owner, 0);
	holder->owner = owner;
	return ledger_owner_pid(owner) == 0 ? 0 : -EBUSY;
}

int holder_run(char *title, bool heir)
{
	struct holder holder = {.title = title, .inheritance = {.giver = -1}, .trial_end_ms = clock_mono_ms() + TRIAL_MS};
	int r = heir ? take_over(&holder.inheritance) : 0;

	say_open(strchr(title, ' ') ? strchr(title, ' ') + 1 : "holder");
	if (r < 0) {
		say(LOG_WARNING, "nothing was handed over: %s", strerror(-r));
		return 1;
	}
	take_reserved_numbers();
	r = ledger_map(&holder.ledger, HOLDER_LEDGER, true);
	if (r < 0) {
		fprintf(stderr, "tcpwarden relay: this program is started by tcpwarden(8) (no ledger at descriptor %d: %s)\n",
			HOLDER_LEDGER, strerror(-r));
		return 1;
	}
	if (heir) {
		holder.owner = holder.inheritance.owner;
		holder.trial_end_ms = clock_mono_ms() + holder.inheritance.allowed_ms;
	} else if (begin(&holder) < 0) {
		say(LOG_ERR, "another relay owns this ledger");
		return 0;
	}
	block_signals(&holder.old);
	return hold(&holder);
}
