#include "steward/hook/child.h"

#include "base/capability.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the child keeps its own ends; all above are closed, and these two are closed by exec or before. */
enum { CHILD_GATE = 3, CHILD_REPORT = 4, CHILD_FDS = 5 };

enum { OURS, THEIRS };
struct child_pipes {
	int null;
	int gate[2], report[2], out[2], err[2]; /* [OURS], [THEIRS] */
};

/* Everything that the child needs, made before fork: after it, in a process that had threads, only async-signal-safe calls may be
 * made. */
struct child_plan {
	const struct hook_program *program;
	struct child_pipes pipes;
	char **candidates; /* files to try, NULL-terminated */
};

static void list_free(char **list)
{
	for (char **entry = list; entry && *entry; entry++)
		free(*entry);
	free(list);
}

static const char *path_of(char *const *environment)
{
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, "PATH=", 5))
			return *environment + 5;
	return "";
}

/* What execvp(3) would try. */
static char **find_candidates(const struct hook_program *program)
{
	const char *name = program->command[0], *path = path_of(program->environment);
	size_t count = 1;
	for (const char *c = path; *c; c++)
		count += *c == ':';
	char **list = calloc(count + 1, sizeof *list);
	if (!list)
		return NULL;
	if (strchr(name, '/')) {
		if (!(list[0] = strdup(name)))
			goto fail;
		return list;
	}
	for (size_t i = 0; *path; path += *path == ':') {
		size_t length = strcspn(path, ":");
		if (length && asprintf(&list[i++], "%.*s/%s", (int)length, path, name) < 0) {
			list[i - 1] = NULL;
			goto fail;
		}
		path += length;
	}
	return list;
fail:
	list_free(list);
	return NULL;
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

static void pipes_close(struct child_pipes *pipes)
{
	if (pipes->null >= 0)
		close(pipes->null);
	close_pair(pipes->gate);
	close_pair(pipes->report);
	close_pair(pipes->out);
	close_pair(pipes->err);
}

/* The end that we read does not block; the one that the hook writes does, as programs expect. */
static int pipe_open(int pair[2])
{
	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	return fcntl(pair[OURS], F_SETFL, O_NONBLOCK) ? -errno : 0;
}

static int pipes_open(struct child_pipes *pipes)
{
	*pipes = (struct child_pipes){-1, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
	pipes->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int r = pipes->null < 0 ? -errno : 0;
	/* A socket, not a pipe: writing to it when the child is gone must not raise SIGPIPE. */
	if (!r && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes->gate))
		r = -errno;
	if (!r)
		r = pipe_open(pipes->report);
	if (!r)
		r = pipe_open(pipes->out);
	if (!r)
		r = pipe_open(pipes->err);
	if (r)
		pipes_close(pipes);
	return r;
}

static _Noreturn void not_run(int error)
{
	ssize_t n = write(CHILD_REPORT, &error, sizeof error);
	(void)n;
	_exit(127);
}

/* None of these may hang or fail but for our own bugs; dup2 of a number onto itself would keep close-on-exec, but ours are all
 * above 2. */
static void take_descriptors(const struct child_pipes *pipes)
{
	if (dup2(pipes->null, STDIN_FILENO) < 0 || dup2(pipes->out[THEIRS], STDOUT_FILENO) < 0 ||
		dup2(pipes->err[THEIRS], STDERR_FILENO) < 0)
		_exit(127);
	/* Each may stand where the other has to go, so both are first moved out of the way. */
	int gate = fcntl(pipes->gate[THEIRS], F_DUPFD_CLOEXEC, CHILD_FDS);
	int report = fcntl(pipes->report[THEIRS], F_DUPFD_CLOEXEC, CHILD_FDS);
	if (gate < 0 || report < 0 || dup3(gate, CHILD_GATE, O_CLOEXEC) < 0 || dup3(report, CHILD_REPORT, O_CLOEXEC) < 0)
		_exit(127);
	close_range(CHILD_FDS, ~0U, 0);
}

/* By the system call itself: sigaction(3) does not reach the two signals that glibc keeps for its threads, which whoever started
 * us may have ignored. All zero is the kernel's struct for SIG_DFL. */
static void take_default_signals(void)
{
	static const unsigned long by_default[8];
	for (int signal = 1; signal < NSIG; signal++)
		syscall(SYS_rt_sigaction, signal, by_default, NULL, NSIG / 8);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct child_plan *plan)
{
	const struct hook_program *program = plan->program;
	take_descriptors(&plan->pipes);
	setsid();
	take_default_signals();

	char byte;
	ssize_t n;
	do
		n = read(CHILD_GATE, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(127); /* whoever made us died, or thought better of it */
	close(CHILD_GATE);

	capability_keep_to_ourselves();
	if (program->umask >= 0)
		umask((mode_t)program->umask);
	if (chdir(program->directory))
		not_run(errno);

	int error = ENOENT;
	for (char **candidate = plan->candidates; *candidate; candidate++) {
		execve(*candidate, program->command, program->environment);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			break;
	}
	not_run(error);
}

/* All signals are held back meanwhile: a handler of ours must not run in the child. */
static pid_t fork_quietly(void)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	int error = errno;
	if (pid)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

int hook_child_fork(struct hook_child *ret, const struct hook_program *program)
{
	struct child_plan plan = {.program = program, .candidates = find_candidates(program)};
	if (!plan.candidates)
		return -ENOMEM;
	int r = pipes_open(&plan.pipes);
	if (r) {
		list_free(plan.candidates);
		return r;
	}

	pid_t pid = fork_quietly();
	if (!pid)
		become(&plan);
	if (pid < 0)
		r = -errno;
	list_free(plan.candidates);
	if (!r && (ret->pidfd = pidfd_open(pid, 0)) < 0)
		r = -errno;
	if (!r && (r = process_group_identify(&ret->group, pid)))
		close(ret->pidfd);
	if (r) {
		pipes_close(&plan.pipes);
		if (pid > 0) { /* it waits at the gate, so this is short */
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		return r;
	}
	ret->gate = plan.pipes.gate[OURS];
	ret->report = plan.pipes.report[OURS];
	ret->out = plan.pipes.out[OURS];
	ret->err = plan.pipes.err[OURS];
	plan.pipes.gate[OURS] = plan.pipes.report[OURS] = plan.pipes.out[OURS] = plan.pipes.err[OURS] = -1;
	pipes_close(&plan.pipes);
	return 0;
}
