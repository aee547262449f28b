/* One client of the control socket: a line in, then its answer out, then the next line. Not more than one answer is under way,
 * and no more of it is made than CONTROL_CHUNK before the client has read what there was. Owner: the control (its list); ends by
 * client_close. */
#ifndef STEWARD_CONTROL_CLIENT_H
#define STEWARD_CONTROL_CLIENT_H
#include "steward/control/control.h"
#include "steward/control/lease_requests.h"
#include "steward/control/probe.h"
#include "steward/control/tcp_view.h"

struct control {
	uv_loop_t *loop;
	uv_poll_t listener;
	int listen_fd; /* -1: clients come by control_serve only */
	uv_timer_t sweep;
	struct roster *roster;
	struct tcp_view view;
	const struct control_host *host;
	void *context;
	char *path;
	gid_t group;
	bool any_group;
	uid_t refused[2];
	size_t refused_count;
	struct control_client *clients;
	size_t client_count;
	int handles; /* listener and timer that are open, and each client's; the last frees the control */
	bool closing;
};

/* What `sessions` has still to list. */
struct session_walk {
	bool active;
	char service[SERVICE_NAME_SIZE]; /* "": all */
	uint32_t relay, slot;
	uint64_t count;
};

/* A change that somebody else makes. */
enum control_wait { WAITS_FOR_NOTHING, WAITS_FOR_RELOAD, WAITS_FOR_NEXT_RELOAD, WAITS_FOR_DRAIN };

struct control_client {
	struct control *control;
	struct control_client *next;
	uv_pipe_t pipe;
	uv_write_t write;
	bool writing, closing, last; /* last: closed when what is written has been read */
	int handles;                 /* pipe and probe's timer */
	enum control_wait waits;
	uint64_t seen_ms; /* when it last asked or took something */
	size_t in_used;
	char in[CONTROL_LINE_MAX];
	char *out;
	size_t out_used, out_size;
	struct session_walk walk;
	struct lease_walk leases;
	struct probe probe;
};

/* Its answer comes by itself, whoever may be slow with it. */
static inline bool client_waits(const struct control_client *client)
{
	return client->waits != WAITS_FOR_NOTHING || client->probe.active || client->leases.question;
}

/* Takes fd, unless it returns NULL: no memory, or no socket. */
struct control_client *client_new(struct control *control, int fd);
void client_close(struct control_client *client);

/* Goes on with what this client wants next: the answer that waits, the rest of a walk, the next line. */
void client_next(struct control_client *client);

/* One object as one line of the answer; takes the reference. */
void client_answer(struct control_client *client, json_t *object);
void client_refuse(struct control_client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

void client_refuse_unknown(struct control_client *client, uint64_t id); /* no such session */

/* control.c: one of its handles is closed. */
void control_handle_closed(struct control *control);

/* requests.c: the id of a session or a lease; false: it is none, and that is answered. */
bool client_get_id(struct control_client *client, json_t *request, const char *whose, uint64_t *ret);

/* requests.c: one line of input, and the next part of a walk. */
void client_handle(struct control_client *client, const char *line, size_t length);
void client_walk(struct control_client *client);

#endif
