#include "steward/hook/child.h"

#include "base/capability.h"
#include "steward/hook/gate.h"
#include "wire/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024 };

enum { OURS, THEIRS };
struct child_pipes {
	int null; /* its stdin, unless it talks */
	int in[2];
	int gate[2], report[2], out[2], err[2]; /* [OURS], [THEIRS] */
};

static const struct child_pipes no_pipes = {-1, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};

/* Everything that the child needs, made before it is: it shares our memory until it is the gate, and the thread that made it
 * waits. */
struct child_plan {
	struct child_pipes pipes;
	const char *gate;
	char **words; /* of the gate */
	char *const *environment;
	bool dies_with_us, other_user;
	int error; /* why it is not the gate */
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
	close_pair(pipes->in);
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

/* Sockets, not pipes, are what we write to: to do so when the child is gone must not raise SIGPIPE. */
static int pipes_open(struct child_pipes *pipes, bool talks, bool other_user)
{
	*pipes = no_pipes;
	pipes->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int r = pipes->null < 0 ? -errno : 0;
	if (!r && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes->gate))
		r = -errno;
	if (!r && talks && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes->in))
		r = -errno;
	if (!r && talks && fcntl(pipes->in[OURS], F_SETFL, O_NONBLOCK))
		r = -errno;
	if (!r)
		r = pipe_open(pipes->report);
	if (!r)
		r = pipe_open(pipes->out);
	if (!r)
		r = pipe_open(pipes->err);
	/* It may write to them as they are, but to open them anew, as /dev/stderr, is a matter of their permissions. */
	if (!r && other_user && (fchmod(pipes->out[THEIRS], 0622) || fchmod(pipes->err[THEIRS], 0622)))
		r = -errno;
	if (r)
		pipes_close(pipes);
	return r;
}

/* None of these may hang or fail but for our own bugs; dup2 of a number onto itself would keep close-on-exec, but ours are all
 * above 2. */
static void take_descriptors(const struct child_pipes *pipes)
{
	int in = pipes->in[THEIRS] < 0 ? pipes->null : pipes->in[THEIRS];
	if (dup2(in, STDIN_FILENO) < 0 || dup2(pipes->out[THEIRS], STDOUT_FILENO) < 0 ||
		dup2(pipes->err[THEIRS], STDERR_FILENO) < 0)
		_exit(127);
	/* Each may stand where the other has to go, so both are first moved out of the way. */
	int gate = fcntl(pipes->gate[THEIRS], F_DUPFD_CLOEXEC, GATE_FDS);
	int report = fcntl(pipes->report[THEIRS], F_DUPFD_CLOEXEC, GATE_FDS);
	if (gate < 0 || report < 0 || dup2(gate, GATE_IN) < 0 || dup2(report, GATE_REPORT) < 0)
		_exit(127);
	close_range(GATE_FDS, ~0U, 0);
}

static int become_gate(void *argument)
{
	struct child_plan *plan = argument;
	take_descriptors(&plan->pipes);
	setsid();
	if (plan->dies_with_us) /* who died before this has closed the gate */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* That becomes the user, not we, whose memory is the steward's still. If this fails the gate will say so. */
	if (plan->other_user)
		capability_pass_on((uint64_t)1 << CAP_SETUID | (uint64_t)1 << CAP_SETGID);
	execve(plan->gate, plan->words, plan->environment);
	plan->error = errno;
	_exit(127);
}

/* As vfork(2), on a stack of its own. All signals are held back meanwhile: a handler of ours must not run in the child. */
static pid_t start_gate(struct child_plan *plan)
{
	static _Alignas(16) char stack[STACK_BYTES];
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = clone(become_gate, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, plan);
	int error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

static size_t length_of(char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	return n;
}

/* The numbers among them, as text. */
struct gate_numbers {
	char mask[16], parent[16], user[HOOK_USER_TEXT];
};

/* The words of the gate (gate.c), of which only the list is new. */
static char **gate_words(const struct hook_program *program, char **candidates, struct gate_numbers *numbers)
{
	size_t files = length_of(candidates), words = length_of(program->command), at = 5;
	char **list = calloc(at + files + 1 + words + 1, sizeof *list);
	if (!list)
		return NULL;
	list[0] = (char *)(uintptr_t) "tcpwarden: hook";
	list[1] = numbers->mask;
	list[2] = numbers->parent;
	list[3] = numbers->user;
	list[4] = (char *)(uintptr_t)program->directory;
	memcpy(list + at, candidates, files * sizeof *list);
	list[at + files] = (char *)(uintptr_t) "";
	memcpy(list + at + files + 1, program->command, words * sizeof *list);
	return list;
}

static const char *gate_path(void)
{
	static char path[PATH_MAX];
	char error[512];
	return *path || !programs_find(path, "gate", error) ? path : NULL;
}

int hook_child_start(struct hook_child *ret, const struct hook_program *program)
{
	static const struct hook_user ourselves;
	struct gate_numbers numbers;
	char **candidates = find_candidates(program);
	struct child_plan plan = {.pipes = no_pipes,
		.gate = gate_path(),
		.environment = program->environment,
		.dies_with_us = program->dies_with_us,
		.other_user = program->user && program->user->other};
	snprintf(numbers.mask, sizeof numbers.mask, "%d", program->umask);
	snprintf(numbers.parent, sizeof numbers.parent, "%d", program->dies_with_us ? (int)getpid() : 0);
	hook_user_format(program->user ? program->user : &ourselves, numbers.user);
	plan.words = candidates ? gate_words(program, candidates, &numbers) : NULL;
	int r = !plan.words ? -ENOMEM : !plan.gate ? -ENOENT : pipes_open(&plan.pipes, program->talks, plan.other_user);
	pid_t pid = -1;
	if (!r && (pid = start_gate(&plan)) < 0)
		r = -errno;
	list_free(candidates);
	free(plan.words);
	if (pid > 0 && plan.error) {
		waitpid(pid, NULL, 0);
		pid = -1;
		r = -plan.error;
	}
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
	ret->in = plan.pipes.in[OURS];
	ret->gate = plan.pipes.gate[OURS];
	ret->report = plan.pipes.report[OURS];
	ret->out = plan.pipes.out[OURS];
	ret->err = plan.pipes.err[OURS];
	plan.pipes.in[OURS] = plan.pipes.gate[OURS] = plan.pipes.report[OURS] = plan.pipes.out[OURS] = plan.pipes.err[OURS] = -1;
	pipes_close(&plan.pipes);
	return 0;
}
