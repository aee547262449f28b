#include "steward/listen/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

struct listener *listener_new(const struct address *where, const struct service_config *service, struct plan_ids *ids)
{
	struct listener *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->where = *where;
	l->policy = service->policy.side[SIDE_CLIENT];
	l->shared_fd = -1;
	memcpy(l->service, service->name, sizeof l->service);
	for (uint32_t r = 0; r < CENSUS_RELAYS; r++)
		l->of[r].fd = -1;
	if (plan_ids_listener(ids, where->text, &l->id) < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void listener_free(struct listener *l)
{
	for (uint32_t r = 0; r < CENSUS_RELAYS; r++)
		close_fd(&l->of[r].fd);
	close_fd(&l->shared_fd);
	if (l->made_file)
		unlink(l->where.host);
	free(l);
}

bool listener_is_shared(const struct listener *l)
{
	return l->where.kind != ADDRESS_HOST;
}

void listener_drop(struct listener *l, uint32_t place)
{
	close_fd(&l->of[place].fd);
	l->of[place].lent = false;
}

/* A ledger's entry is a claim: nothing in it is a string until it was looked at. */
bool listener_is(const struct listener *l, const struct ledger_listener *e)
{
	unsigned state = atomic_load_explicit(&e->state, memory_order_acquire);

	return (state == LISTENER_BOUND || state == LISTENER_LISTENING) && e->id == l->id &&
	       strncmp(e->address, l->where.text, ADDRESS_TEXT_SIZE) == 0;
}

static const struct ledger_listener *entry_of(const struct listener *l, const struct ledger *ledger, uint32_t place)
{
	for (int i = 0; ledger && i < LEDGER_LISTENERS; i++) {
		const struct ledger_listener *e = &ledger->header->listeners[i];

		if ((e->place == place || place == PLACE_ANY) && listener_is(l, e))
			return e;
	}
	return NULL;
}

bool listener_listed(const struct listener *l, const struct ledger *ledger, uint32_t place)
{
	return entry_of(l, ledger, place);
}

bool listener_opened(const struct listener *l, const struct ledger *ledger, uint32_t place)
{
	const struct ledger_listener *e = entry_of(l, ledger, place);

	return e && atomic_load_explicit(&e->state, memory_order_acquire) == LISTENER_LISTENING;
}

bool listener_listed_anywhere(const struct listener *l, const struct ledger_view *view, uint32_t place)
{
	for (uint32_t r = 0; r < view->relays; r++)
		if (listener_listed(l, view->of[r], place))
			return true;
	return false;
}

int listener_obtain(struct listener *l, const struct gifts *gifts, uint32_t place, bool alone, char error[BIND_ERROR_SIZE])
{
	int fd = -1;

	switch (l->where.kind) {
	case ADDRESS_HOST:
		if (l->of[place].fd >= 0)
			return 0;
		fd = bind_tcp(&l->where, &l->policy, alone, error);
		if (fd >= 0)
			l->of[place].fd = fd;
		break;
	case ADDRESS_UNIX:
		if (l->shared_fd >= 0)
			return 0;
		fd = bind_unix(l->where.host, -1, false, error);
		if (fd >= 0) {
			l->shared_fd = fd;
			l->made_file = true;
		}
		break;
	case ADDRESS_SYSTEMD:
		if (l->shared_fd >= 0)
			return 0;
		fd = gifts_find(gifts, l->where.host);
		if (fd < 0) {
			snprintf(error, BIND_ERROR_SIZE,
				"%s: systemd passed no socket of that name (a .socket unit with FileDescriptorName=%s must start "
				"this service)",
				l->where.text, l->where.host);
			return -ENOENT;
		}
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			fd = -errno;
			snprintf(error, BIND_ERROR_SIZE, "%s: %s", l->where.text, strerror(-fd));
		}
		l->shared_fd = fd < 0 ? -1 : fd;
		break;
	}
	return fd < 0 ? fd : 0;
}
