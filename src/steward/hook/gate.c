/* What a hook's process is before it is the hook: a program that waits for one byte, and then becomes the one it was told of.
 *
 *   gate UMASK PARENT USER DIRECTORY FILE... "" WORD...      descriptors GATE_IN and GATE_REPORT, the hook's environment
 *
 * PARENT: 0, or the process without which it must not live. USER: as hook_user_format makes it, for which CAP_SETUID and
 * CAP_SETGID are passed on to it.
 *
 * It is small, and started by vfork(2) and exec, since a fork copies the page tables of the steward, whose memory grows with the
 * leases, and each page that the steward then writes to while its child waits. Each FILE is tried as execvp(3) would. What goes
 * wrong is reported as an errno; if no byte comes, whoever made us died or thought better of it. */
#include "steward/hook/gate.h"

#include "base/capability.h"
#include "steward/config/hook_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Noreturn void not_run(int error)
{
	ssize_t n = write(GATE_REPORT, &error, sizeof error);
	(void)n;
	_exit(127);
}

/* By the system call itself: sigaction(3) does not reach the two signals that glibc keeps for its threads, which whoever started
 * the steward may have ignored. All zero is the kernel's struct for SIG_DFL. */
static void take_default_signals(void)
{
	static const unsigned long by_default[8];
	for (int signal = 1; signal < NSIG; signal++)
		syscall(SYS_rt_sigaction, signal, by_default, NULL, NSIG / 8);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void wait_for_byte(void)
{
	char byte;
	ssize_t n;
	do
		n = read(GATE_IN, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(127);
	close(GATE_IN);
}

/* Root, and who is no more, are nobody that a hook runs as. */
static void become_user(char *text)
{
	gid_t groups[HOOK_USER_GROUPS_MAX];
	size_t count = 0;
	if (*text == '-')
		return;
	uid_t uid = (uid_t)strtoul(text, &text, 10);
	gid_t gid = *text == ':' ? (gid_t)strtoul(text + 1, &text, 10) : 0;
	while (*text && text[1] && count < HOOK_USER_GROUPS_MAX)
		groups[count++] = (gid_t)strtoul(text + 1, &text, 10);
	if (!uid || uid == HOOK_USER_GONE)
		not_run(EPERM);
	if (setgroups(count, groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		not_run(errno);
}

int main(int argc, char **argv)
{
	if (argc < 8 || fcntl(GATE_IN, F_GETFD) < 0 || fcntl(GATE_REPORT, F_SETFD, FD_CLOEXEC))
		return 127;
	take_default_signals();
	wait_for_byte();

	int mask = atoi(argv[1]);
	pid_t parent = (pid_t)atoi(argv[2]);
	become_user(argv[3]);
	/* To become another ordinary user takes no capability away, but it does take this: prctl(2). */
	if (capability_set(0, 0))
		not_run(EPERM);
	if (parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(127);
	if (mask >= 0)
		umask((mode_t)mask);
	if (chdir(argv[4]))
		not_run(errno);

	char **file = argv + 5, **command = file;
	while (**command)
		command++;
	command++;
	int error = ENOENT;
	for (; **file; file++) {
		execve(*file, command, environ);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			break;
	}
	not_run(error);
}
