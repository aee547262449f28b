/* One process of the tree, held by a pidfd, so that no signal ever meets a stranger with the same number. It need not be our
 * child: relays are children of their holders. On the heap; it frees itself after on_exit, or at process_forget. */
#ifndef SUPERVISOR_PROCESS_H
#define SUPERVISOR_PROCESS_H
#include "supervisor/privilege.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct process;

/* It has ended. status as of waitpid(2), or -1 where the process was no child of ours. The process is gone after this returns. */
typedef void (*process_callback)(void *owner, struct process *process, int status);

enum { SPAWN_FDS_MAX = 8 };

/* What a role is started with. Descriptors are numbered from INHERIT_SUPERVISOR on, in this order; -1 leaves the number
 * closed. */
struct spawn {
	int program_fd;   /* O_PATH */
	const char *path; /* for people */
	const char *const *argv;
	int fds[SPAWN_FDS_MAX];
	int fd_count;
	int output_fd;   /* its standard output; 0: as its standard error, which is ours */
	uint64_t nofile; /* soft limit; the hard one stays */
	enum privilege_role role;
	const struct privilege *privilege;
};

/* fork and exec, in a session of its own; it waits for process_go_all, so that whoever runs is known to a successor. NULL with errno
 * set. */
struct process *process_spawn(uv_loop_t *loop, const struct spawn *spawn, process_callback on_exit, void *owner);

/* Lets all run that wait. If we die before this, they never do. process_ready_all: from now on they count as those that may run. */
void process_ready_all(void);
void process_go_all(void);

/* It cannot have run yet. */
bool process_waits(const struct process *process);

/* A process that someone says is his: takes the pidfd, and believes no word of it: it must be a pidfd of `pid`, and the process
 * must run as `uid`. NULL with errno set (EPERM: it is another's; ESRCH: it has ended; EACCES: /proc does not show it). */
struct process *process_adopt(uv_loop_t *loop, int pidfd, pid_t pid, uid_t uid, process_callback on_exit, void *owner);

/* The number behind a pidfd (proc(5), fdinfo); 0: no pidfd at all; -1: has ended. */
long process_pid_of(int pidfd);

/* Its parent is this process. */
bool process_is_child(const struct process *process);

pid_t process_pid(const struct process *process);
int process_fd(const struct process *process); /* its pidfd, ours */
void process_signal(struct process *process, int signal);
void process_forget(struct process *process); /* no callback any more. NULL is fine */

/* Takes the status of every child that has ended: at SIGCHLD. Orphans of the tree come to us, too. */
void process_reap(void);

/* "exited with status 1", "was killed by signal 9 (Killed)", "has ended" */
void process_format_status(int status, char text[64]);

#endif
