#include "supervisor/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct watch {
	uv_poll_t poll;
	int fd, events;
	watch_callback on_event;
	void *owner;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;

	/* libuv stops a handle at an error of its descriptor: the reader finds out what it is. */
	watch->on_event(watch->owner, status < 0 || (events & UV_DISCONNECT) ? events | UV_READABLE : events);
}

static void on_closed(uv_handle_t *handle)
{
	struct watch *watch = handle->data;

	close(watch->fd);
	free(watch);
}

struct watch *watch_new(uv_loop_t *loop, int fd, int events, watch_callback on_event, void *owner)
{
	struct watch *watch = calloc(1, sizeof *watch);
	int r;

	if (!watch) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	r = uv_poll_init(loop, &watch->poll, fd);
	if (r < 0) {
		free(watch);
		close(fd);
		errno = -r;
		return NULL;
	}
	watch->poll.data = watch;
	watch->fd = fd;
	watch->on_event = on_event;
	watch->owner = owner;
	watch_events(watch, events);
	return watch;
}

int watch_fd(const struct watch *watch)
{
	return watch->fd;
}

void watch_events(struct watch *watch, int events)
{
	if (watch->events == events)
		return;
	watch->events = events;
	if (events)
		uv_poll_start(&watch->poll, events, on_poll);
	else
		uv_poll_stop(&watch->poll);
}

void watch_close(struct watch *watch)
{
	if (watch)
		uv_close((uv_handle_t *)&watch->poll, on_closed);
}
