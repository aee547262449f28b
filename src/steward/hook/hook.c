#include "steward/hook/hook.h"

#include "steward/hook/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024,
	LINES_RENEWED_MS = 60 * 1000,
	DRAIN_MAX_BYTES = 1024 * 1024, /* a pipe holds far less: only one that is being filled again reaches this */
};

enum stage {
	STAGE_GATED,
	STAGE_RUNNING,
	STAGE_TERMINATING, /* took too long, had SIGTERM */
	STAGE_CLEARING,    /* its process is over, not yet waited for; others of its group get SIGKILL until none is left */
	STAGE_ENDED,
	STAGE_CLOSED,
};

/* One of its outputs, cut into lines or kept. */
struct stream {
	uv_poll_t poll;
	int fd; /* -1: closed */
	char line[LINE_MAX_BYTES + 1];
	size_t line_length;
};

struct hook {
	const struct hook_callbacks *callbacks;
	void *context;
	struct process_group group;
	enum stage stage;
	bool detached; /* the owner wants to hear nothing more */
	bool timed_out;
	bool keep_output, output_cut, talks;
	uint64_t lines; /* that it wrote, told or not */
	uint64_t lines_since_ms;
	uint64_t stuck_at_ms; /* 0: it has not been killed; UINT64_MAX: on_stuck was called */
	int pidfd, in, gate, report;
	uint32_t timeout_ms;
	uv_poll_t exit_poll;
	uv_timer_t timer;
	struct stream out, err;
	char *output;
	size_t output_length;
	int handles; /* not closed yet */
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct hook *hook = handle->data;
	if (--hook->handles)
		return;
	free(hook->output);
	free(hook);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void stream_close(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	uv_close((uv_handle_t *)&stream->poll, on_handle_closed);
	close_fd(&stream->fd);
}

static void hook_close_all(struct hook *hook)
{
	assert(hook->stage != STAGE_CLOSED);
	hook->stage = STAGE_CLOSED;
	close_fd(&hook->in);
	close_fd(&hook->gate);
	close_fd(&hook->report);
	stream_close(&hook->out);
	stream_close(&hook->err);
	uv_close((uv_handle_t *)&hook->exit_poll, on_handle_closed);
	close_fd(&hook->pidfd);
	uv_close((uv_handle_t *)&hook->timer, on_handle_closed);
}

static void tell_silence(struct hook *hook)
{
	char text[64];
	if (hook->lines <= HOOK_LINES_MAX)
		return;
	snprintf(text, sizeof text, "(%" PRIu64 " more lines are not logged)", hook->lines - HOOK_LINES_MAX);
	hook->callbacks->on_line(hook->context, text);
}

/* A helper lives for long: it has its thousand lines anew each minute. */
static void renew_lines(struct hook *hook)
{
	uint64_t now_ms = uv_now(hook->timer.loop);
	if (!hook->talks || now_ms - hook->lines_since_ms < LINES_RENEWED_MS)
		return;
	tell_silence(hook);
	hook->lines = 0;
	hook->lines_since_ms = now_ms;
}

static void tell_line(struct hook *hook, struct stream *stream)
{
	stream->line[stream->line_length] = '\0';
	if (stream->line_length && !hook->detached) {
		renew_lines(hook);
		if (hook->lines++ < HOOK_LINES_MAX)
			hook->callbacks->on_line(hook->context, stream->line);
	}
	stream->line_length = 0;
}

/* The last line that was kept may lack its end, and mean something else: an address with half a port. */
static void drop_part_of_line(struct hook *hook)
{
	const char *newline = memrchr(hook->output, '\n', hook->output_length);
	hook->output_length = newline ? (size_t)(newline + 1 - hook->output) : 0;
}

static void take_lines(struct hook *hook, struct stream *stream, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n' || stream->line_length == LINE_MAX_BYTES)
			tell_line(hook, stream);
		/* Control bytes could forge lines or move a terminal's cursor. */
		if (bytes[i] != '\n')
			stream->line[stream->line_length++] = (unsigned char)bytes[i] < ' ' || bytes[i] == 127 ? ' ' : bytes[i];
	}
}

static void keep(struct hook *hook, const char *bytes, size_t length)
{
	size_t space = HOOK_OUTPUT_MAX - hook->output_length;
	if (length > space) {
		length = space;
		hook->output_cut = true;
	}
	memcpy(hook->output + hook->output_length, bytes, length);
	hook->output_length += length;
}

/* Reads at most `most` bytes of what is there. */
static void stream_read(struct hook *hook, struct stream *stream, size_t most)
{
	char bytes[4096];
	while (stream->fd >= 0 && most) {
		ssize_t n = read(stream->fd, bytes, sizeof bytes < most ? sizeof bytes : most);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		bool told = stream == &hook->out && hook->talks;
		if (n <= 0) {
			stream_close(stream);
			if (told && !hook->detached)
				hook->callbacks->on_output(hook->context, bytes, 0);
			return;
		}
		most -= (size_t)n;
		if (told && !hook->detached)
			hook->callbacks->on_output(hook->context, bytes, (size_t)n);
		else if (stream == &hook->out && hook->keep_output)
			keep(hook, bytes, (size_t)n);
		else
			take_lines(hook, stream, bytes, (size_t)n);
	}
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	(void)events;
	struct hook *hook = handle->data;
	struct stream *stream = handle == &hook->out.poll ? &hook->out : &hook->err;
	if (hook->stage == STAGE_CLOSED || stream->fd < 0)
		return;
	if (status < 0)
		stream_close(stream);
	else
		stream_read(
			hook, stream, sizeof(char[4096])); /* one piece a turn: a hook that shouts must not hold up the loop */
}

/* Its process is over and, where that matters, its group too. */
static void hook_finish(struct hook *hook)
{
	siginfo_t info = {0};
	int r;
	do
		r = waitid(P_PIDFD, (id_t)hook->pidfd, &info, WEXITED | WNOHANG);
	while (r && errno == EINTR);

	uv_timer_stop(&hook->timer);
	hook->stage = STAGE_ENDED;
	if (hook->detached) {
		hook_close_all(hook);
		return;
	}

	/* What it wrote is in the pipes by now. That others may hold them open is not waited for. */
	stream_read(hook, &hook->out, DRAIN_MAX_BYTES);
	stream_read(hook, &hook->err, DRAIN_MAX_BYTES);
	tell_line(hook, &hook->out);
	tell_line(hook, &hook->err);
	stream_close(&hook->out);
	stream_close(&hook->err);
	tell_silence(hook);
	if (hook->output_cut)
		drop_part_of_line(hook);

	struct hook_result result = {.outcome = HOOK_SIGNALED, .output = "", .output_cut = hook->output_cut};
	int not_run;
	if (hook->timed_out) {
		result.outcome = HOOK_TIMED_OUT;
	} else if (read(hook->report, &not_run, sizeof not_run) == sizeof not_run) {
		result.outcome = HOOK_NOT_RUN;
		result.value = not_run;
	} else if (!r && info.si_code == CLD_EXITED) {
		result.outcome = HOOK_EXITED;
		result.value = info.si_status;
	} else if (!r && info.si_pid) {
		result.value = info.si_status;
	}
	if (hook->output) {
		hook->output[hook->output_length] = '\0';
		result.output = hook->output;
		result.output_length = hook->output_length;
	}
	hook->callbacks->on_end(hook->context, &result);
}

static void kill_group(struct hook *hook)
{
	uint64_t now_ms = uv_now(hook->timer.loop);
	process_group_signal(&hook->group, SIGKILL);
	if (!hook->stuck_at_ms)
		hook->stuck_at_ms = now_ms + HOOK_STUCK_MS;
	if (now_ms < hook->stuck_at_ms)
		return;
	hook->stuck_at_ms = UINT64_MAX;
	if (!hook->detached && hook->callbacks->on_stuck)
		hook->callbacks->on_stuck(hook->context);
}

static void on_group_poll(uv_timer_t *timer)
{
	struct hook *hook = timer->data;
	if (process_group_lives(&hook->group))
		kill_group(hook);
	else
		hook_finish(hook);
}

static void on_leader_exit(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	struct hook *hook = handle->data;
	if (hook->stage > STAGE_TERMINATING)
		return;
	uv_poll_stop(&hook->exit_poll);

	siginfo_t info = {0};
	bool exited = !waitid(P_PIDFD, (id_t)hook->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_code == CLD_EXITED;
	if (exited && !hook->timed_out && !hook->talks) {
		hook_finish(hook);
		return;
	}
	/* What it left behind might still take something. The leader is not waited for until they are gone, which keeps the
	 * number of the group from being used again. */
	hook->stage = STAGE_CLEARING;
	kill_group(hook);
	uv_timer_start(&hook->timer, on_group_poll, 0, HOOK_GROUP_POLL_MS);
}

static void on_grace_over(uv_timer_t *timer)
{
	kill_group(timer->data);
}

void hook_stop(struct hook *hook)
{
	if (hook->stage > STAGE_RUNNING)
		return;
	close_fd(&hook->gate);
	hook->stage = STAGE_TERMINATING;
	hook->timed_out = true;
	process_group_signal(&hook->group, SIGTERM);
	uv_timer_start(&hook->timer, on_grace_over, HOOK_TERM_GRACE_MS, 1000);
}

static void on_timeout(uv_timer_t *timer)
{
	struct hook *hook = timer->data;
	/* It may have ended in time while we were busy: its end is a fact, our lateness is not. */
	struct pollfd ended = {.fd = hook->pidfd, .events = POLLIN};
	if (poll(&ended, 1, 0) == 1) {
		on_leader_exit(&hook->exit_poll, 0, UV_READABLE);
		return;
	}
	hook_stop(hook);
}

static void stream_open(struct hook *hook, uv_loop_t *loop, struct stream *stream, int fd)
{
	stream->fd = fd;
	stream->poll.data = hook;
	uv_poll_init(loop, &stream->poll, fd);
	uv_poll_start(&stream->poll, UV_READABLE, on_readable);
	hook->handles++;
}

int hook_start(struct hook **ret, uv_loop_t *loop, const struct hook_program *program, bool keep_output,
	const struct hook_callbacks *callbacks, void *context)
{
	struct hook *hook = calloc(1, sizeof *hook);
	if (!hook)
		return -ENOMEM;
	if (keep_output && !(hook->output = malloc(HOOK_OUTPUT_MAX + 1))) {
		free(hook);
		return -ENOMEM;
	}

	struct hook_child child;
	int r = hook_child_start(&child, program);
	if (r) {
		free(hook->output);
		free(hook);
		return r;
	}

	hook->callbacks = callbacks;
	hook->context = context;
	hook->group = child.group;
	hook->pidfd = child.pidfd;
	hook->in = child.in;
	hook->gate = child.gate;
	hook->report = child.report;
	hook->talks = program->talks;
	hook->keep_output = keep_output;
	hook->timeout_ms = program->timeout_ms;
	hook->timer.data = hook->exit_poll.data = hook;
	uv_timer_init(loop, &hook->timer);
	uv_poll_init(loop, &hook->exit_poll, hook->pidfd);
	uv_poll_start(&hook->exit_poll, UV_READABLE, on_leader_exit);
	hook->handles = 2;
	stream_open(hook, loop, &hook->out, child.out);
	stream_open(hook, loop, &hook->err, child.err);
	*ret = hook;
	return 0;
}

const struct process_group *hook_group(const struct hook *hook)
{
	return &hook->group;
}

void hook_open(struct hook *hook)
{
	if (hook->stage != STAGE_GATED)
		return; /* it was killed at the gate, and its end is being dealt with */
	hook->stage = STAGE_RUNNING;
	/* If it was killed meanwhile that is told by its exit, as for any other. */
	ssize_t n;
	do
		n = send(hook->gate, "", 1, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	close_fd(&hook->gate);
	hook->lines_since_ms = uv_now(hook->timer.loop);
	if (!hook->talks)
		uv_timer_start(&hook->timer, on_timeout, hook->timeout_ms, 0);
}

int hook_input(const struct hook *hook)
{
	return hook->in;
}

void hook_shut_input(struct hook *hook)
{
	close_fd(&hook->in);
}

void hook_close(struct hook *hook)
{
	hook->detached = true;
	if (hook->stage == STAGE_GATED)
		close_fd(&hook->gate); /* it ends by that; on_leader_exit waits for it and closes the rest */
	else if (hook->stage != STAGE_CLOSED)
		hook_close_all(hook);
}
