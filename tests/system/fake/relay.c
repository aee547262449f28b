#include "fake.h"

#include "wire/inherit.h"
#include "wire/ledger.h"
#include "wire/message.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ledger ledger;
static volatile sig_atomic_t ending;

static void say_who(enum message_kind kind)
{
	struct message_process body = {getpid()};
	int pidfd = pidfd_open(getpid(), 0);

	message_send(INHERIT_SUPERVISOR, kind, &body, &pidfd);
	close(pidfd);
}

static void become_holder(char *name)
{
	char *argv[] = {name, NULL};

	execv("/proc/self/exe", argv);
	_exit(1);
}

static void hear(void)
{
	struct message m;

	if (message_receive(INHERIT_SUPERVISOR, &m, message_bit(MESSAGE_RETIRE)) != 1)
		return;
	fake_say("relay %u: RETIRE %u", ledger.header->relay, m.body.retire.retires);
	if (!m.body.retire.retires || getenv("FAKE_RELAY_STAYS"))
		return;
	ledger.header->ready = 0;
	_exit(0);
}

static void run_relay(int holder, char *name)
{
	struct pollfd fds[2] = {{.fd = holder, .events = POLLIN}, {.fd = INHERIT_PARENT, .events = POLLIN}};

	signal(SIGTERM, SIG_DFL);
	say_who(MESSAGE_RELAY);
	ledger.header->owner = ledger_owner_next(ledger.header->owner, getpid());
	ledger.header->starts++;
	ledger.header->ready = 1;
	fake_say("relay %u: start %d starts=%u incarnation=%u", ledger.header->relay, (int)getpid(), ledger.header->starts,
		ledger.header->incarnation);
	for (;;) {
		uint64_t until_ns = fake_now_ns() + (getenv("FAKE_RELAY_BEATS_ALWAYS") ? 100000000 : 0);

		do
			ledger.header->beat_ns = fake_now_ns();
		while (ledger.header->beat_ns < until_ns);
		poll(fds, 2, getenv("FAKE_RELAY_BEATS_ALWAYS") ? 0 : 100);
		if (fds[1].revents)
			_exit(0);
		hear();
		if (fds[0].revents)
			become_holder(name);
	}
}

static void on_sigterm(int signal)
{
	(void)signal;
	ending = 1;
}

int main(int argc, char **argv)
{
	(void)argc;
	signal(SIGTERM, on_sigterm);
	if (ledger_map(&ledger, HOLDER_LEDGER, true) < 0) {
		fake_say("holder: no ledger");
		return 1;
	}
	fake_say("%s: start %d uid=%d", argv[0], (int)getpid(), (int)getuid());
	say_who(MESSAGE_HOLDER);
	if (getenv("FAKE_HOLDER_DIES"))
		return 1;
	for (;;) {
		int self = pidfd_open(getpid(), 0), status = 1;
		pid_t pid;

		ledger.header->ready = 0;
		pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0)
			run_relay(self, argv[0]);
		while (waitpid(pid, &status, WNOHANG) == 0) {
			struct pollfd parent = {.fd = INHERIT_PARENT, .events = POLLIN};
			if (ending || poll(&parent, 1, 20) > 0) {
				kill(pid, SIGKILL);
				waitpid(pid, NULL, 0);
				return 0;
			}
		}
		if (status == 0) /* it has retired */
			return 0;
		close(self);
	}
}
