/* One connection of the load program, as its client or its backend: two streams, each with a known pattern, length and end.
 *
 * The engine owns all connections of a process. A connection begins with conn_start, is driven by the engine's epoll set, and
 * ends by itself: its verdict goes to the tally, its descriptor is closed, and the engine's on_over is called. */
#ifndef LOAD_CONN_H
#define LOAD_CONN_H
#include "request.h"
#include "tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum role { ROLE_CLIENT, ROLE_BACKEND };

/* How one direction ended, as its receiver saw it. */
enum stream_end { STREAM_OPEN, STREAM_EOF, STREAM_RESET, STREAM_ODD };

struct conn {
	int fd;
	enum role role;
	bool connected;   /* client: the connect has succeeded; backend: always */
	bool requested;   /* the whole request is known (backend: received) */
	bool shut;        /* our end of stream was sent */
	bool send_failed; /* the peer takes no more */
	bool reset_seen;  /* some call told of a reset; it is told only once */
	bool blocked;     /* the last send took nothing */
	bool counted_idle;
	enum stream_end in_end;
	int in_error;
	struct request request;
	uint64_t sent, received; /* bytes, the request counted */
	uint64_t message_left;   /* of the message being sent */
	uint64_t draws;          /* random numbers used */
	uint64_t next_send_ms;
	uint64_t heard_ms, gap_ms; /* when something last came, and the longest time in which nothing did */
	uint32_t interest;         /* epoll events asked for */
	uint64_t wrong_at;         /* offset of the first wrong byte, when wrong */
	bool wrong;
	bool waits; /* for time or acknowledgement: on the engine's waiting list */
	struct conn *previous, *next;
	struct conn *waiting_next;
};

struct engine {
	int epoll;
	enum role role;
	uint64_t seed;
	const char *message; /* KIND_MESSAGE: what must come */
	struct tally tally;
	struct conn *conns;   /* all that are open */
	struct conn *waiting; /* looked at at each tick */
	uint64_t idle;        /* stalled connections that can do nothing more */
	bool hurried;         /* nothing is paced any more */
	void (*on_over)(struct engine *engine);
};

int engine_init(struct engine *ret, enum role role, uint64_t seed);

/* fd: connecting or accepted, non-blocking; the engine closes it. request: for a client what it will ask, for a backend NULL. */
int conn_start(struct engine *engine, int fd, bool connected, const struct request *request);

void conn_on_events(struct engine *engine, struct conn *conn, uint32_t events);

/* The waiting ones whose time or acknowledgement has come. */
void engine_tick(struct engine *engine);

/* Everything still open is judged as stuck, but for stalled ones, which are as they should be. Closed with a reset. */
void engine_end_all(struct engine *engine);


#endif
