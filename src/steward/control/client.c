#include "steward/control/client.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_handle_closed(uv_handle_t *handle)
{
	struct control_client *client = handle->data;
	struct control *c = client->control;

	if (--client->handles > 0) {
		control_handle_closed(c);
		return;
	}
	for (struct control_client **at = &c->clients; *at; at = &(*at)->next)
		if (*at == client) {
			*at = client->next;
			break;
		}
	c->client_count--;
	free(client->out);
	free(client);
	control_handle_closed(c);
}

void client_close(struct control_client *client)
{
	if (client->closing)
		return;
	client->closing = true;
	lease_walk_stop(client);
	uv_close((uv_handle_t *)&client->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&client->probe.timer, on_handle_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct control_client *client = handle->data;

	(void)suggested;
	*buf = uv_buf_init(client->in + client->in_used, (unsigned)(sizeof client->in - client->in_used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct control_client *client = stream->data;

	(void)buf;
	if (client->closing || n == 0)
		return;
	if (n < 0) {
		/* Who shuts its side may still want its answer; without one under way there is nothing to wait for. */
		uv_read_stop(stream);
		client->last = true;
		if (n != UV_EOF || (!client->writing && !client->walk.active && !client->leases.active && !client_waits(client)))
			client_close(client);
		return;
	}
	client->in_used += (size_t)n;
	client->seen_ms = uv_now(client->control->loop);
	client_next(client);
}

static void on_written(uv_write_t *request, int status)
{
	struct control_client *client = request->data;

	client->writing = false;
	if (client->closing)
		return;
	if (status < 0) {
		client_close(client);
		return;
	}
	client->seen_ms = uv_now(client->control->loop);
	client->out_used = 0;
	client_next(client);
}

static void client_flush(struct control_client *client)
{
	uv_buf_t buf = uv_buf_init(client->out, (unsigned)client->out_used);

	client->write.data = client;
	client->writing = true;
	if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &buf, 1, on_written) < 0) {
		client->writing = false;
		client_close(client);
	}
}

void client_next(struct control_client *client)
{
	while (!client->closing && !client->writing) {
		char *end;

		if (client->out_used == 0 && client->walk.active)
			client_walk(client);
		if (client->out_used == 0 && client->leases.active)
			lease_walk_go_on(client);
		if (client->out_used > 0) {
			uv_read_stop((uv_stream_t *)&client->pipe);
			client_flush(client);
			return;
		}
		if (client_waits(client)) {
			/* What does not fit stays in the socket until there is room: libuv takes a read without room for an
			 * error. */
			if (client->in_used == sizeof client->in)
				uv_read_stop((uv_stream_t *)&client->pipe);
			return;
		}
		end = memchr(client->in, '\n', client->in_used);
		if (end) {
			size_t length = (size_t)(end - client->in);

			client_handle(client, client->in, length);
			client->in_used -= length + 1;
			memmove(client->in, end + 1, client->in_used);
			continue;
		}
		if (client->last) {
			client_close(client);
			return;
		}
		if (client->in_used == sizeof client->in) {
			client_refuse(client, "the request is longer than %d bytes", CONTROL_LINE_MAX);
			client->last = true;
			client->in_used = 0;
			continue;
		}
		uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
		return;
	}
}

static int dump(const char *text, size_t length, void *context)
{
	struct control_client *client = context;

	if (length > client->out_size - client->out_used) {
		size_t size = 2 * (client->out_used + length) + 1024;
		char *larger = realloc(client->out, size);

		if (!larger)
			return -1;
		client->out = larger;
		client->out_size = size;
	}
	memcpy(client->out + client->out_used, text, length);
	client->out_used += length;
	return 0;
}

void client_answer(struct control_client *client, json_t *object)
{
	size_t before = client->out_used;

	if (!object || json_dump_callback(object, dump, client, JSON_COMPACT) < 0 || dump("\n", 1, client) < 0) {
		/* For want of memory: no half lines. Whoever waits for the rest sees the connection end. */
		client->out_used = before;
		client->last = true;
	}
	json_decref(object);
}

void client_refuse(struct control_client *client, const char *format, ...)
{
	char text[CONTROL_ERROR_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	client_answer(client, json_pack("{s:b, s:s}", "ok", 0, "error", text));
}

void client_refuse_unknown(struct control_client *client, uint64_t id)
{
	client_refuse(client, "no session %" PRIx64 " lives (`tcpwardenctl sessions` lists those that do)", id);
}

struct control_client *client_new(struct control *c, int fd)
{
	struct control_client *client = calloc(1, sizeof *client);

	if (!client)
		return NULL;
	client->control = c;
	client->seen_ms = uv_now(c->loop);
	uv_pipe_init(c->loop, &client->pipe, 0);
	uv_timer_init(c->loop, &client->probe.timer);
	client->pipe.data = client->probe.timer.data = client;
	client->handles = 2;
	client->next = c->clients;
	c->clients = client;
	c->client_count++;
	c->handles += client->handles;
	if (uv_pipe_open(&client->pipe, fd) < 0) {
		client_close(client);
		return NULL;
	}
	return client;
}
