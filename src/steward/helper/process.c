#include "steward/helper/process.h"

#include "steward/helper/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	BEGINNING = 64,
	GONE_GRACE_MS = 200, /* from a closed pipe to the end of its process, which says more */
};

struct helper_process {
	const struct helper_process_callbacks *callbacks;
	void *context;
	struct hook *hook;
	bool open;  /* its gate */
	bool deaf;  /* what it says is not told any more */
	bool input; /* not shut */
	uv_poll_t room;
	const char *gone; /* what it closed by itself */
	uv_timer_t grace; /* from the end of its input, or from that */
	char piece[HELPER_PIECE_MAX];
	char *longer; /* a line that fits no piece, taken by itself */
	const char *out;
	size_t out_length, out_sent;
	char line[HELPER_LINE_MAX + 1];
	size_t line_length;
	int handles; /* not closed yet */
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct helper_process *process = handle->data;
	if (--process->handles)
		return;
	free(process->longer);
	free(process);
}

static void shut_input(struct helper_process *process)
{
	if (!process->input)
		return;
	process->input = false;
	uv_close((uv_handle_t *)&process->room, on_handle_closed);
	hook_shut_input(process->hook);
}

static void fault(struct helper_process *process, const char *why, const char *said)
{
	char beginning[BEGINNING + 1];
	size_t length = 0;
	if (process->deaf)
		return;
	for (; said[length] && length < BEGINNING; length++)
		beginning[length] = (unsigned char)said[length] < ' ' || said[length] == 127 ? ' ' : said[length];
	beginning[length] = '\0';
	process->callbacks->on_fault(process->context, why, beginning);
}

static void on_gone(uv_timer_t *timer)
{
	struct helper_process *process = timer->data;
	fault(process, process->gone, "");
}

static void lose(struct helper_process *process, const char *what)
{
	if (process->deaf || process->gone)
		return;
	process->gone = what;
	uv_timer_start(&process->grace, on_gone, GONE_GRACE_MS, 0);
}

/* ---- what it is told ---- */

static void on_writable(uv_poll_t *poll, int status, int events);

/* True: all of it has gone. */
static bool send_piece(struct helper_process *process)
{
	while (process->out_sent < process->out_length) {
		ssize_t n = send(hook_input(process->hook), process->out + process->out_sent,
			process->out_length - process->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			process->out_sent += (size_t)n;
		} else if (errno == EAGAIN) {
			uv_poll_start(&process->room, UV_WRITABLE, on_writable);
			return false;
		} else if (errno != EINTR) {
			shut_input(process);
			lose(process, "it closed its input");
			return false;
		}
	}
	free(process->longer);
	process->longer = NULL;
	process->out_length = process->out_sent = 0;
	return true;
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	struct helper_process *process = poll->data;
	if (!process->input)
		return;
	uv_poll_stop(poll);
	if (send_piece(process))
		process->callbacks->on_room(process->context);
}

bool helper_process_say(struct helper_process *process, const char *line, size_t length)
{
	if (!process->open || !process->input || process->longer)
		return false;
	bool idle = !process->out_length;
	if (idle && length > sizeof process->piece) {
		if (!(process->longer = malloc(length)))
			return false;
		process->out = memcpy(process->longer, line, length);
		process->out_length = length;
	} else if (length > sizeof process->piece - process->out_length) {
		return false;
	} else {
		process->out = process->piece;
		memcpy(process->piece + process->out_length, line, length);
		process->out_length += length;
	}
	/* What is said in one turn of the loop goes out at once. */
	if (idle)
		uv_poll_start(&process->room, UV_WRITABLE, on_writable);
	return true;
}

/* ---- what it says ---- */

static void on_output(void *context, const char *bytes, size_t length)
{
	struct helper_process *process = context;
	if (!length)
		lose(process, "it closed its output");
	while (length && !process->deaf) {
		const char *newline = memchr(bytes, '\n', length);
		size_t part = newline ? (size_t)(newline - bytes) : length;
		if (part > HELPER_LINE_MAX - process->line_length) {
			process->line[process->line_length] = '\0';
			fault(process, "a line of more than 64 KiB", process->line);
			return;
		}
		memcpy(process->line + process->line_length, bytes, part);
		process->line_length += part;
		bytes += part;
		length -= part;
		if (!newline)
			return;
		bytes++;
		length--;
		process->line[process->line_length] = '\0';
		size_t line_length = process->line_length;
		process->line_length = 0;
		process->callbacks->on_answer(process->context, process->line, line_length);
	}
}

static void on_complaint(void *context, const char *line)
{
	struct helper_process *process = context;
	process->callbacks->on_complaint(process->context, line);
}

/* ---- its life ---- */

static void on_end(void *context, const struct hook_result *result)
{
	struct helper_process *process = context;
	uv_timer_stop(&process->grace);
	process->callbacks->on_end(process->context, result);
}

static const struct hook_callbacks hook_callbacks = {.on_line = on_complaint, .on_end = on_end, .on_output = on_output};

int helper_process_start(struct helper_process **ret, uv_loop_t *loop, const struct hook_program *program,
	const struct helper_process_callbacks *callbacks, void *context)
{
	struct helper_process *process = calloc(1, sizeof *process);
	if (!process)
		return -ENOMEM;
	int r = hook_start(&process->hook, loop, program, false, &hook_callbacks, process);
	if (r) {
		free(process);
		return r;
	}
	process->callbacks = callbacks;
	process->context = context;
	process->input = true;
	process->room.data = process->grace.data = process;
	uv_poll_init(loop, &process->room, hook_input(process->hook));
	uv_timer_init(loop, &process->grace);
	process->handles = 2;
	*ret = process;
	return 0;
}

const struct process_group *helper_process_group(const struct helper_process *process)
{
	return hook_group(process->hook);
}

void helper_process_open(struct helper_process *process)
{
	process->open = true;
	hook_open(process->hook);
}

static void on_grace_over(uv_timer_t *timer)
{
	struct helper_process *process = timer->data;
	hook_stop(process->hook);
}

void helper_process_finish(struct helper_process *process)
{
	if (!process->input)
		return;
	process->deaf = true;
	shut_input(process);
	uv_timer_start(&process->grace, on_grace_over, process->open ? HELPER_EOF_GRACE_MS : 0, 0);
}

void helper_process_stop(struct helper_process *process)
{
	process->deaf = true;
	hook_stop(process->hook);
}

void helper_process_close(struct helper_process *process)
{
	shut_input(process);
	hook_close(process->hook);
	uv_close((uv_handle_t *)&process->grace, on_handle_closed);
}
