#include "steward/upstream.h"

#include "steward/log/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* In this order what is due is said: what a READY or RELOADED stands on goes before it. */
static const enum message_kind order[] = {
	MESSAGE_SETTINGS,
	MESSAGE_RELOADING,
	MESSAGE_ACCEPTED,
	MESSAGE_STATUS,
	MESSAGE_READY,
	MESSAGE_RELOADED,
	MESSAGE_WORKERS,
	MESSAGE_UPGRADE,
	MESSAGE_STOPPED,
};

static void on_readiness(uv_poll_t *poll, int status, int events);

static int say_one(struct upstream *u, enum message_kind kind)
{
	if (kind == MESSAGE_SETTINGS)
		return message_send(u->fd, kind, &u->settings, NULL);
	if (kind == MESSAGE_RELOADED)
		return message_send(u->fd, kind, &u->reloaded, NULL);
	if (kind == MESSAGE_WORKERS)
		return message_send(u->fd, kind, &u->workers, NULL);
	if (kind == MESSAGE_STATUS)
		return message_send(u->fd, kind, &u->status, NULL);
	if (kind == MESSAGE_ACCEPTED)
		return message_send(u->fd, kind, &u->accepted, u->accepted_fds);
	return message_send(u->fd, kind, NULL, NULL);
}

static int say_due(struct upstream *u)
{
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		int r;

		if (!(u->due & message_bit(order[i])))
			continue;
		r = say_one(u, order[i]);
		if (r < 0)
			return r;
		u->due &= ~message_bit(order[i]);
	}
	for (uint32_t i = 0; i < CENSUS_RELAYS; i++) {
		struct message_pair pair = {i, u->replace[i] - 1};
		int r = u->replace[i] ? message_send(u->fd, MESSAGE_REPLACE, &pair, NULL) : 0;

		if (r < 0)
			return r;
		u->replace[i] = 0;
	}
	return 0;
}

static void push(struct upstream *u)
{
	int r;

	if (u->gone || u->closing)
		return;
	r = say_due(u);
	/* Whatever else went wrong, its death is told by on_gone. */
	uv_poll_start(&u->poll, r < 0 && r != -EPIPE ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_readiness);
}

static void on_readiness(uv_poll_t *poll, int status, int events)
{
	struct upstream *u = poll->data;

	(void)status;
	(void)events;
	while (!u->gone && !u->closing) {
		struct message message;
		int r = message_receive(u->fd, &message, u->permitted);

		if (r == 0)
			break;
		if (r == -EBADMSG) {
			/* It is of our own build, so this is our own fault: a fresh start is the way out. */
			log_line(LOG_CRIT, "the supervisor said %s, which is not expected", message_name(message.header.kind));
			_exit(1);
		}
		if (r < 0) {
			u->gone = true;
			uv_poll_stop(&u->poll);
			u->host->on_gone(u->context);
			return;
		}
		u->host->on_message(u->context, &message);
		message_close_fds(&message);
	}
	push(u);
}

int upstream_init(struct upstream *u, uv_loop_t *loop, int fd, const struct upstream_host *host, void *context)
{
	int r;

	memset(u, 0, sizeof *u);
	u->fd = fd;
	u->host = host;
	u->context = context;
	u->accepted_fds[0] = u->accepted_fds[1] = -1;
	u->permitted = message_bit(MESSAGE_RESUME) | message_bit(MESSAGE_INHERITED) | message_bit(MESSAGE_BEGIN) |
		       message_bit(MESSAGE_PAIR) | message_bit(MESSAGE_PAIR_LOST) | message_bit(MESSAGE_PAIRS) |
		       message_bit(MESSAGE_RELOAD) | message_bit(MESSAGE_STOP) | message_bit(MESSAGE_SUPERVISOR) |
		       message_bit(MESSAGE_UPGRADE_STATE);
	r = uv_poll_init(loop, &u->poll, fd);
	u->poll.data = u;
	return r < 0 ? r : uv_poll_start(&u->poll, UV_READABLE, on_readiness);
}

void upstream_close(struct upstream *u, uv_close_cb on_closed)
{
	u->closing = true;
	for (int i = 0; i < 2; i++)
		if (u->accepted_fds[i] >= 0)
			close(u->accepted_fds[i]);
	uv_close((uv_handle_t *)&u->poll, on_closed);
}

void upstream_say(struct upstream *u, enum message_kind kind)
{
	u->due |= message_bit(kind);
	push(u);
}

void upstream_settings(struct upstream *u, const struct message_settings *settings)
{
	u->settings = *settings;
	u->workers.workers = 0; /* that is in them now */
	upstream_say(u, MESSAGE_SETTINGS);
}

void upstream_accepted(struct upstream *u, uint32_t generation, int plan_fd, int text_fd)
{
	for (int i = 0; i < 2; i++)
		if (u->accepted_fds[i] >= 0)
			close(u->accepted_fds[i]);
	u->accepted.generation = generation;
	u->accepted_fds[0] = plan_fd;
	u->accepted_fds[1] = text_fd;
	upstream_say(u, MESSAGE_ACCEPTED);
}

void upstream_reloaded(struct upstream *u, int error, const char *text)
{
	u->reloaded.error = error;
	snprintf(u->reloaded.text, sizeof u->reloaded.text, "%s", text);
	upstream_say(u, MESSAGE_RELOADED);
}

void upstream_status(struct upstream *u, const char *text)
{
	u->status.error = 0;
	snprintf(u->status.text, sizeof u->status.text, "%s", text);
	upstream_say(u, MESSAGE_STATUS);
}

void upstream_workers(struct upstream *u, uint32_t workers)
{
	u->workers.workers = workers;
	u->workers.number++;
	upstream_say(u, MESSAGE_WORKERS);
}

void upstream_replace(struct upstream *u, const struct message_pair *pair)
{
	u->replace[pair->relay] = pair->incarnation + 1;
	push(u);
}

void upstream_again(struct upstream *u)
{
	u->due |= message_bit(MESSAGE_SETTINGS);
	if (u->accepted_fds[0] >= 0)
		u->due |= message_bit(MESSAGE_ACCEPTED);
	if (*u->status.text)
		u->due |= message_bit(MESSAGE_STATUS);
	if (u->workers.workers)
		u->due |= message_bit(MESSAGE_WORKERS);
	push(u);
}

bool upstream_idle(const struct upstream *u)
{
	return u->gone || u->due == 0;
}
