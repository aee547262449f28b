#include "steward/control/control.h"

#include "steward/control/client.h"
#include "steward/listen/bind.h"
#include "steward/log/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum { BACKLOG = 16, SWEEP_MS = 5000, GROUPS_MAX = 65536 };

/* ---- who may speak ---- */

static bool in_group(const struct control *c, int fd, gid_t primary)
{
	socklen_t length = 0;
	gid_t *groups;
	bool found = primary == c->group;

	if (found || (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) < 0 && errno != ERANGE))
		return found;
	if (length == 0 || length > GROUPS_MAX * sizeof *groups)
		return false;
	groups = malloc(length);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) == 0)
		for (size_t i = 0; i < length / sizeof *groups && !found; i++)
			found = groups[i] == c->group;
	free(groups);
	return found;
}

static bool may_speak(const struct control *c, int fd)
{
	struct ucred who;
	socklen_t length = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
		return false;
	for (size_t i = 0; i < c->refused_count; i++)
		if (who.uid == c->refused[i])
			return false;
	return who.uid == 0 || who.uid == geteuid() || (c->any_group && in_group(c, fd, who.gid));
}

struct control_client *control_serve(struct control *c, int fd)
{
	bool allowed = may_speak(c, fd);
	struct control_client *client = c->client_count < CONTROL_CLIENTS_MAX ? client_new(c, fd) : NULL;

	if (!client) {
		close(fd);
		return NULL;
	}
	if (!allowed) {
		client_refuse(client,
			"this user may not use the control socket (be root, tcpwarden's user, or a member of control.group)");
		client->last = true;
	}
	client_next(client);
	return client;
}

/* ---- the socket ---- */

void control_handle_closed(struct control *c)
{
	if (--c->handles > 0)
		return;
	tcp_view_close(&c->view);
	free(c->path);
	free(c);
}

static void on_connections(uv_poll_t *poll, int status, int events)
{
	struct control *c = poll->data;

	(void)events;
	while (status == 0 && !c->closing) {
		static const char full[] = "{\"ok\":false,\"error\":\"too many clients of the control socket\"}\n";
		int fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			/* Out of descriptors or memory: it would be told again at once, so the sweep looks again. */
			uv_poll_stop(poll);
			return;
		}
		if (fd < 0)
			return;
		if (c->client_count >= CONTROL_CLIENTS_MAX && send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			log_line(LOG_DEBUG, "control socket: too many clients");
		control_serve(c, fd);
	}
}

static void on_handle_closed(uv_handle_t *handle)
{
	control_handle_closed(handle->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct control *c = handle->data;

	close(c->listen_fd);
	control_handle_closed(c);
}

static void on_sweep(uv_timer_t *timer)
{
	struct control *c = timer->data;
	uint64_t now_ms = uv_now(c->loop);

	for (struct control_client *client = c->clients; client; client = client->next)
		if (!client_waits(client) && now_ms - client->seen_ms > CONTROL_SILENCE_MS)
			client_close(client);
	if (c->listen_fd >= 0)
		uv_poll_start(&c->listener, UV_READABLE, on_connections);
}

static int find_uid(const char *name, uid_t *ret)
{
	struct passwd *found = name[0] ? getpwnam(name) : NULL;

	if (!found)
		return -ENOENT;
	*ret = found->pw_uid;
	return 0;
}

static void refuse_users(struct control *c, const struct control_options *o)
{
	for (size_t i = 0; o->separated && i < sizeof o->refused / sizeof o->refused[0]; i++)
		if (o->refused[i] && find_uid(o->refused[i], &c->refused[c->refused_count]) == 0)
			c->refused_count++;
}

/* The socket, listening, open to no one else than options say at any moment. The descriptor or -errno. */
static int listen_at(struct control *c, const struct control_options *o, char error[CONTROL_ERROR_SIZE])
{
	char why[BIND_ERROR_SIZE];
	int r, fd = bind_unix(o->path, o->group ? (int)(o->mode & 0700) : (int)o->mode, false, why);

	if (fd < 0) {
		snprintf(error, CONTROL_ERROR_SIZE, "%.500s", why);
		return fd;
	}
	r = o->group && (chown(o->path, (uid_t)-1, c->group) < 0 || chmod(o->path, o->mode) < 0) ? -errno : 0;
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	snprintf(error, CONTROL_ERROR_SIZE, "%s: %s%s", o->path, strerror(-r),
		r == -EPERM ? " (our user must be a member of control.group)" : "");
	unlink(o->path);
	close(fd);
	return r;
}

static void start_sweep(struct control *c, uv_loop_t *loop)
{
	uv_timer_init(loop, &c->sweep);
	c->sweep.data = c;
	c->handles++;
	uv_timer_start(&c->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

int control_open(struct control **ret, uv_loop_t *loop, const struct control_options *o, struct roster *roster,
	const struct control_host *host, void *context, char error[CONTROL_ERROR_SIZE])
{
	struct control *c = calloc(1, sizeof *c);
	struct group *group;
	int r;

	snprintf(error, CONTROL_ERROR_SIZE, "no memory");
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->roster = roster;
	c->host = host;
	c->context = context;
	c->listen_fd = -1;
	refuse_users(c, o);
	group = o->group ? getgrnam(o->group) : NULL;
	if (o->group && !group) {
		snprintf(error, CONTROL_ERROR_SIZE, "there is no group %s (control.group; `getent group` lists them)", o->group);
		free(c);
		return -ENOENT;
	}
	c->any_group = group != NULL;
	c->group = group ? group->gr_gid : 0;
	if (o->path) {
		c->path = strdup(o->path);
		c->listen_fd = r = c->path ? listen_at(c, o, error) : -ENOMEM;
		if (r < 0) {
			free(c->path);
			free(c);
			return r;
		}
		uv_poll_init(loop, &c->listener, c->listen_fd);
		c->listener.data = c;
		c->handles++;
		uv_poll_start(&c->listener, UV_READABLE, on_connections);
	}
	tcp_view_open(&c->view);
	start_sweep(c, loop);
	*ret = c;
	return 0;
}

void control_close(struct control *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	for (struct control_client *client = c->clients; client; client = client->next)
		client_close(client);
	if (c->listen_fd >= 0) {
		unlink(c->path);
		uv_close((uv_handle_t *)&c->listener, on_listener_closed);
	}
	uv_close((uv_handle_t *)&c->sweep, on_handle_closed);
}

static void answer_all(struct control *c, enum control_wait waits, const char *error, const struct report *report)
{
	for (struct control_client *client = c ? c->clients : NULL; client; client = client->next) {
		json_t *lines, *answer;

		if (client->waits != waits || client->closing)
			continue;
		client->waits = WAITS_FOR_NOTHING;
		lines = json_array();
		for (size_t i = 0; i < report->count; i++)
			json_array_append_new(lines, json_string(report->lines[i]));
		answer = error ? json_pack("{s:b, s:s, s:o}", "ok", 0, "error", error, "errors", lines)
			       : json_pack("{s:b, s:o}", "ok", 1, "warnings", lines);
		client_answer(client, answer);
		client_next(client);
	}
}

void control_reloaded(struct control *c, bool ok, const struct report *report)
{
	answer_all(c, WAITS_FOR_RELOAD, ok ? NULL : "reload failed: nothing has changed", report);
	for (struct control_client *client = c ? c->clients : NULL; client; client = client->next)
		if (client->waits == WAITS_FOR_NEXT_RELOAD)
			client->waits = WAITS_FOR_RELOAD;
}

void control_drained(struct control *c, bool ok, const struct report *report)
{
	answer_all(c, WAITS_FOR_DRAIN, ok ? NULL : "it failed: nothing has changed", report);
}
