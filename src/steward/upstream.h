/* The channel to the supervisor. What is to be said is kept as state until the channel takes it; the last value of each counts.
 * Member of the steward; upstream_close ends it (its poll handle is counted by whoever gave on_closed). */
#ifndef STEWARD_UPSTREAM_H
#define STEWARD_UPSTREAM_H
#include "wire/census.h"
#include "wire/message.h"

#include <uv.h>

struct upstream_host {
	void (*on_message)(void *context, struct message *message); /* may take its descriptors by setting them to -1 */
	void (*on_gone)(void *context);                             /* the supervisor is dead */
};

struct upstream {
	int fd;
	uv_poll_t poll;
	const struct upstream_host *host;
	void *context;
	bool gone, closing;
	message_set permitted;
	message_set due;
	struct message_settings settings;
	struct message_generation accepted;
	int accepted_fds[2]; /* ours, -1: none */
	struct message_outcome reloaded, status;
	struct message_workers workers;
	uint32_t replace[CENSUS_RELAYS]; /* incarnation + 1 to be replaced, 0: none */
};

/* fd becomes ours. 0 or what libuv says. */
int upstream_init(struct upstream *upstream, uv_loop_t *loop, int fd, const struct upstream_host *host, void *context);
void upstream_close(struct upstream *upstream, uv_close_cb on_closed);

void upstream_settings(struct upstream *upstream, const struct message_settings *settings);
void upstream_accepted(struct upstream *upstream, uint32_t generation, int plan_fd, int text_fd); /* takes both */
void upstream_reloaded(struct upstream *upstream, int error, const char *text);
void upstream_status(struct upstream *upstream, const char *text);
/* Asks for so many pairs; 0: not any more. PAIRS answers. */
void upstream_workers(struct upstream *upstream, uint32_t workers);
void upstream_replace(struct upstream *upstream, const struct message_pair *pair);
void upstream_say(struct upstream *upstream, enum message_kind kind); /* READY, RELOADING, UPGRADE, STOPPED */

/* Says again what a supervisor keeps, to one that may not have it. */
void upstream_again(struct upstream *upstream);

/* All that was to be said has been. */
bool upstream_idle(const struct upstream *upstream);

#endif
