/* One descriptor that the loop watches and that this owns: a channel or a pidfd. On the heap, since a handle outlives its close
 * by a turn of the loop; whoever made it forgets it at watch_close. */
#ifndef SUPERVISOR_WATCH_H
#define SUPERVISOR_WATCH_H
#include <uv.h>

struct watch;

/* `events`: UV_READABLE, UV_WRITABLE; what is left (end, error) comes as UV_READABLE. Never called after watch_close. */
typedef void (*watch_callback)(void *owner, int events);

/* Takes fd. NULL with errno set: fd is closed then, too. */
struct watch *watch_new(uv_loop_t *loop, int fd, int events, watch_callback on_event, void *owner);

int watch_fd(const struct watch *watch);
void watch_events(struct watch *watch, int events); /* 0: none for now */

/* Closes it and the descriptor, at the latest when the loop turns. NULL is fine. */
void watch_close(struct watch *watch);

#endif
