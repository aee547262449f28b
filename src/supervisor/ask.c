#include "supervisor/ask.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MS = 10000, DESCRIPTORS = 256 };

static void on_exit_of_asked(void *owner, struct process *process, int status)
{
	struct ask *ask = owner;
	ssize_t n = read(ask->output, ask->text, sizeof ask->text - 1);

	(void)process;
	close(ask->output);
	ask->process = NULL;
	ask->text[n > 0 ? n : 0] = '\0';
	ask->text[strcspn(ask->text, "\n")] = '\0';
	if (status != -1 && WIFEXITED(status)) {
		ask->on_answer(ask->owner, WEXITSTATUS(status));
		return;
	}
	if (ask->killed)
		snprintf(ask->text, sizeof ask->text, "no answer within %d s", ANSWER_MS / 1000);
	else
		process_format_status(status, ask->text);
	ask->on_answer(ask->owner, -1);
}

int ask_start(struct ask *ask, uv_loop_t *loop, const struct program *program, const char *const *argv, int fd,
	enum privilege_role role, const struct privilege *privilege, void (*on_answer)(void *owner, int status), void *owner)
{
	int output[2];

	if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ask->output = output[0];
	ask->killed = false;
	ask->deadline_ms = clock_mono_ms() + ANSWER_MS;
	ask->on_answer = on_answer;
	ask->owner = owner;
	ask->process = process_spawn(loop,
		&(struct spawn){
			.path = program->path,
			.program_fd = program->fd,
			.argv = argv,
			.fds = {fd},
			.fd_count = 1,
			.output_fd = output[1],
			.nofile = DESCRIPTORS,
			.role = role,
			.privilege = privilege,
		},
		on_exit_of_asked, ask);
	close(output[1]);
	if (!ask->process) {
		close(output[0]);
		return -errno;
	}
	return 0;
}

void ask_check(struct ask *ask, uint64_t now_ms)
{
	if (!ask->process || ask->killed || now_ms <= ask->deadline_ms)
		return;
	ask->killed = true;
	process_signal(ask->process, SIGKILL);
}
