#include "supervisor/process.h"

#include "supervisor/watch.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

struct process {
	struct watch *watch; /* owns the pidfd */
	pid_t pid;
	int gate;   /* it waits for a byte from here; -1: it runs */
	bool waits; /* it cannot have run yet */
	int status; /* -1: not known */
	process_callback on_exit;
	void *owner;
	struct process *next;
};

static struct process *processes;

static void close_gate(struct process *process)
{
	if (process->gate >= 0)
		close(process->gate);
	process->gate = -1;
}

static void unlist(struct process *process)
{
	close_gate(process);
	for (struct process **at = &processes; *at; at = &(*at)->next) {
		if (*at == process) {
			*at = process->next;
			break;
		}
	}
	watch_close(process->watch);
	free(process);
}

static void on_pidfd(void *owner, int events)
{
	struct process *process = owner;
	int status;

	(void)events;
	process_reap();
	status = process->status;
	process->on_exit(process->owner, process, status);
	unlist(process);
}

static struct process *watch_process(uv_loop_t *loop, int pidfd, pid_t pid, process_callback on_exit, void *owner)
{
	struct process *process = calloc(1, sizeof *process);

	if (!process) {
		close(pidfd);
		errno = ENOMEM;
		return NULL;
	}
	process->watch = watch_new(loop, pidfd, UV_READABLE, on_pidfd, process);
	if (!process->watch) {
		free(process);
		return NULL;
	}
	process->pid = pid;
	process->gate = process->status = -1;
	process->on_exit = on_exit;
	process->owner = owner;
	process->next = processes;
	processes = process;
	return process;
}

/* In the child, between fork and exec. Returns only the text of what failed, with errno set. */
static const char *become(const struct spawn *spawn)
{
	int high[SPAWN_FDS_MAX], output = spawn->output_fd ? fcntl(spawn->output_fd, F_DUPFD_CLOEXEC, 64) : STDERR_FILENO, null;
	int program = fcntl(spawn->program_fd, F_DUPFD_CLOEXEC, 64);
	struct rlimit nofile;
	sigset_t none;

	/* Out of the way first, also below: one's number may be another's place. */
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Neither ^C of a terminal nor the end of a login reaches a role: what they mean is for the supervisor to say. */
	setsid();
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
		nofile.rlim_cur = spawn->nofile < nofile.rlim_max ? spawn->nofile : nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	if (program < 0 || output < 0)
		return "its descriptors cannot be set up";
	for (int i = 0; i < spawn->fd_count; i++) {
		high[i] = spawn->fds[i] < 0 ? -1 : fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, 64);
		if (spawn->fds[i] >= 0 && high[i] < 0)
			return "its descriptors cannot be set up";
	}
	for (int i = 0; i < spawn->fd_count; i++) {
		if (high[i] < 0)
			close(INHERIT_SUPERVISOR + i);
		else if (dup2(high[i], INHERIT_SUPERVISOR + i) < 0)
			return "its descriptors cannot be set up";
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		return "its standard descriptors cannot be set up";
	/* At exec, not now: the program itself is among them. */
	close_range((unsigned)(INHERIT_SUPERVISOR + spawn->fd_count), UINT_MAX, CLOSE_RANGE_CLOEXEC);
	if (privilege_become_role(spawn->privilege, spawn->role) < 0)
		return "its user and capabilities cannot be set";
	syscall(SYS_execveat, program, "", spawn->argv, environ, AT_EMPTY_PATH);
	return "it cannot be executed";
}

/* In the child. */
static void wait_at(const int gate[2])
{
	char byte;

	close(gate[1]);
	if (read(gate[0], &byte, 1) != 1)
		_exit(EX_UNAVAILABLE); /* the supervisor is dead */
}

struct process *process_spawn(uv_loop_t *loop, const struct spawn *spawn, process_callback on_exit, void *owner)
{
	struct process *process;
	sigset_t all, before;
	int gate[2], pidfd, saved;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return NULL;
	/* No handler of ours may run in the child: it would write into the loop of the parent. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		const char *what;

		wait_at(gate);
		what = become(spawn);

		say(LOG_ERR, "%s (%s): %s: %s", spawn->argv[0], spawn->path, what, strerror(errno));
		_exit(EX_OSERR);
	}
	saved = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(gate[0]);
	if (pid < 0) {
		close(gate[1]);
		errno = saved;
		return NULL;
	}
	pidfd = pidfd_open(pid, 0); /* not reaped yet, so it is still this one */
	process = pidfd < 0 ? NULL : watch_process(loop, pidfd, pid, on_exit, owner);
	if (!process) {
		saved = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(gate[1]);
		errno = saved;
		return NULL;
	}
	process->gate = gate[1];
	process->waits = true;
	return process;
}

void process_ready_all(void)
{
	for (struct process *process = processes; process; process = process->next)
		process->waits = false;
}

bool process_waits(const struct process *process)
{
	return process->waits;
}

void process_go_all(void)
{
	for (struct process *process = processes; process; process = process->next) {
		if (process->gate < 0)
			continue;
		(void)!write(process->gate, "", 1); /* it has the other end, or is dead */
		close_gate(process);
	}
}

long process_pid_of(int pidfd)
{
	char path[64], line[128];
	long pid = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pid: %ld", &pid) == 1)
			break;
	fclose(f);
	return pid;
}

static int check_user(pid_t pid, uid_t uid)
{
	char path[64], line[256];
	unsigned ids[4] = {0};
	int r = -EPERM;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -EACCES : -errno; /* it lives, says its pidfd: /proc hides it (hidepid=) */
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "Uid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) == 4) {
			r = ids[0] == uid && ids[1] == uid && ids[2] == uid && ids[3] == uid ? 0 : -EPERM;
			break;
		}
	}
	fclose(f);
	return r;
}

struct process *process_adopt(uv_loop_t *loop, int pidfd, pid_t pid, uid_t uid, process_callback on_exit, void *owner)
{
	long real = process_pid_of(pidfd);
	int r = real == -1 ? -ESRCH : real <= 0 || real != pid ? -EPERM : check_user(pid, uid);

	/* While the pidfd still tells the number, that number was nobody else's when its user was read. */
	if (real > 0 && process_pid_of(pidfd) == -1)
		r = -ESRCH;
	if (r < 0) {
		close(pidfd);
		errno = -r;
		return NULL;
	}
	return watch_process(loop, pidfd, pid, on_exit, owner);
}

bool process_is_child(const struct process *process)
{
	siginfo_t info;

	/* waitid(2): ECHILD for whoever is not our child; nothing is taken by it. */
	return waitid(P_PIDFD, (id_t)watch_fd(process->watch), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

pid_t process_pid(const struct process *process)
{
	return process->pid;
}

int process_fd(const struct process *process)
{
	return watch_fd(process->watch);
}

void process_signal(struct process *process, int signal)
{
	if (pidfd_send_signal(watch_fd(process->watch), signal, NULL, 0) < 0 && errno != ESRCH)
		say(LOG_ERR, "process %ld cannot be sent signal %d: %s", (long)process->pid, signal, strerror(errno));
}

void process_forget(struct process *process)
{
	if (process)
		unlist(process);
}

void process_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct process *process = processes; process; process = process->next)
			if (process->pid == pid)
				process->status = status;
}

void process_format_status(int status, char text[64])
{
	if (status == -1)
		snprintf(text, 64, "has ended");
	else if (WIFEXITED(status))
		snprintf(text, 64, "exited with status %d", WEXITSTATUS(status));
	else
		snprintf(text, 64, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}
