/* The control socket: a unix stream, a JSON object a line in, one or more JSON objects a line out.
 *
 * Who may speak is asked of the kernel (SO_PEERCRED, SO_PEERGROUPS): root, our own user, members of control.group. Everything is
 * bounded: clients, the length of a line, what waits to be read by a client, and how long it waits. Owner: the steward's role;
 * ends by control_close, which frees it when its handles are closed. */
#ifndef STEWARD_CONTROL_CONTROL_H
#define STEWARD_CONTROL_CONTROL_H
#include "steward/report.h"
#include "steward/roster/roster.h"

#include <jansson.h>
#include <uv.h>

enum {
	CONTROL_ERROR_SIZE = 512,
	CONTROL_CLIENTS_MAX = 32,
	CONTROL_LINE_MAX = 4096,
	CONTROL_CHUNK = 32768,     /* of a long answer: the next when this one has been taken */
	CONTROL_SILENCE_MS = 30000 /* a client that neither asks nor reads for so long is closed */
};

struct control;
struct control_client;

struct control_options {
	const char *path, *group; /* group NULL: ours */
	uint32_t mode;
	const char *refused[2]; /* users that may never speak, when roles are separated */
	bool separated;
};

/* How a change that a client asked for begins. */
enum control_begun {
	CONTROL_REFUSED,
	CONTROL_BEGUN, /* answered when it is over, perhaps within the call */
	CONTROL_NEXT,  /* another is under way: answered by the one after that */
};

struct control_host {
	json_t *(*status)(void *context); /* a new reference */
	struct leases *(*leases)(void *context);
	enum control_begun (*reload)(void *context, bool apply); /* answered by control_reloaded */
	/* Answered by control_drained; refused: error says why. */
	enum control_begun (*drain)(void *context, bool drain, const char *what, char error[CONTROL_ERROR_SIZE]);
	bool (*upgrade)(void *context, uint32_t *ret_after); /* asks for one: `status` tells how it goes; false: not now */
	/* A session that waits for a lease: its acquire hook has not begun, or has said busy. */
	void (*ask_acquire)(void *context, const struct session_key *key, bool *ret_queued, bool *ret_busy);
};

/* 0, or -errno with `error` for people. Without a path there is no socket, only control_serve. */
int control_open(struct control **ret, uv_loop_t *loop, const struct control_options *options, struct roster *roster,
	const struct control_host *host, void *context, char error[CONTROL_ERROR_SIZE]);

/* The same for a connected socket, which becomes ours: what control_open does for each client it accepts. NULL: no memory, or too
 * many. */
struct control_client *control_serve(struct control *control, int fd);

/* NULL is no control at all. */
void control_close(struct control *control);

/* Answers whoever asked for a reload, / for a drain or resume. */
void control_reloaded(struct control *control, bool ok, const struct report *report);
void control_drained(struct control *control, bool ok, const struct report *report);

#endif
