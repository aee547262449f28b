#include "steward/listen/listeners.h"

#include "steward/listen/bind.h"
#include "steward/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

/* What one relay has been given of one address. */
struct share {
	int fd; /* its own socket on the way to it, -1: none */
	bool told;
	bool answered;
	bool complained; /* of the failure it has now: not again at each retry */
	int error; /* of its answer, or of ours when it could not be bound */
};

struct listener {
	struct address where;
	struct side_policy policy;
	uint32_t id;
	int shared_fd; /* unix and systemd: one for all, -1: none */
	bool made_file;
	char service[SERVICE_NAME_SIZE];
	struct share of[CENSUS_RELAYS];
};

struct gift {
	char name[MESSAGE_TEXT_SIZE];
	int fd;
};

struct listeners {
	struct listener **wanted, **next; /* next: prepared; those also in `wanted` are the same objects */
	size_t wanted_count, next_count;
	struct gift *gifts;
	size_t gift_count;
	uint32_t shut_told[CENSUS_RELAYS][LEDGER_LISTENERS]; /* ids that the relay was told to shut */
	bool stopped;
};

struct listeners *listeners_new(void)
{
	return calloc(1, sizeof(struct listeners));
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void listener_free(struct listener *l)
{
	for (uint32_t r = 0; r < CENSUS_RELAYS; r++)
		close_fd(&l->of[r].fd);
	close_fd(&l->shared_fd);
	if (l->made_file)
		unlink(l->where.host);
	free(l);
}

static bool among(struct listener *const *list, size_t count, const struct listener *l)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == l)
			return true;
	return false;
}

void listeners_abort(struct listeners *ls)
{
	for (size_t i = 0; i < ls->next_count; i++)
		if (!among(ls->wanted, ls->wanted_count, ls->next[i]))
			listener_free(ls->next[i]);
	free(ls->next);
	ls->next = NULL;
	ls->next_count = 0;
}

void listeners_commit(struct listeners *ls)
{
	for (size_t i = 0; i < ls->wanted_count; i++)
		if (!among(ls->next, ls->next_count, ls->wanted[i]))
			listener_free(ls->wanted[i]);
	/* Also what a predecessor bound: the path of a wanted address is ours to remove. */
	for (size_t i = 0; i < ls->next_count; i++)
		ls->next[i]->made_file = ls->next[i]->where.kind == ADDRESS_UNIX;
	free(ls->wanted);
	ls->wanted = ls->next;
	ls->wanted_count = ls->next_count;
	ls->next = NULL;
	ls->next_count = 0;
}

void listeners_stop(struct listeners *ls)
{
	listeners_abort(ls);
	listeners_commit(ls);
	ls->stopped = true;
}

void listeners_free(struct listeners *ls)
{
	if (!ls)
		return;
	listeners_abort(ls);
	/* The socket files stay: relays may still listen on them, and the next steward goes on with that. */
	for (size_t i = 0; i < ls->wanted_count; i++)
		ls->wanted[i]->made_file = false;
	listeners_commit(ls);
	for (size_t i = 0; i < ls->gift_count; i++)
		close_fd(&ls->gifts[i].fd);
	free(ls->gifts);
	free(ls);
}

void listeners_inherit(struct listeners *ls, const char *name, int fd)
{
	struct gift *gifts = realloc(ls->gifts, (ls->gift_count + 1) * sizeof *gifts);

	if (!gifts) {
		close(fd);
		return;
	}
	ls->gifts = gifts;
	gifts[ls->gift_count].fd = fd;
	strncpy(gifts[ls->gift_count].name, name, MESSAGE_TEXT_SIZE - 1);
	gifts[ls->gift_count].name[MESSAGE_TEXT_SIZE - 1] = '\0';
	ls->gift_count++;
}

static int gift_named(const struct listeners *ls, const char *name)
{
	for (size_t i = ls->gift_count; i-- > 0;)
		if (strcmp(ls->gifts[i].name, name) == 0)
			return ls->gifts[i].fd;
	return -1;
}

/* A ledger's entry is a claim: nothing in it is a string until it was looked at. */
static bool entry_is(const struct ledger_listener *e, uint32_t id, const char *address)
{
	unsigned state = atomic_load_explicit(&e->state, memory_order_acquire);

	return (state == LISTENER_BOUND || state == LISTENER_LISTENING) && e->id == id &&
	       strncmp(e->address, address, ADDRESS_TEXT_SIZE) == 0;
}

static bool listed(const struct ledger *ledger, const struct listener *l)
{
	for (int i = 0; ledger && i < LEDGER_LISTENERS; i++)
		if (entry_is(&ledger->header->listeners[i], l->id, l->where.text))
			return true;
	return false;
}

static bool listed_anywhere(const struct ledger_view *view, const struct listener *l)
{
	for (uint32_t r = 0; r < view->relays; r++)
		if (listed(view->of[r], l))
			return true;
	return false;
}

/* Whether a socket of this tree, also one that is being closed, has that TCP port. */
static bool port_is_ours(const struct listeners *ls, const struct ledger_view *view, uint16_t port)
{
	for (uint32_t r = 0; r < view->relays; r++)
		for (int i = 0; view->of[r] && i < LEDGER_LISTENERS; i++) {
			const struct ledger_listener *e = &view->of[r]->header->listeners[i];

			if (atomic_load_explicit(&e->state, memory_order_acquire) != LISTENER_FREE && e->local.port == port)
				return true;
		}
	for (size_t i = 0; i < ls->wanted_count; i++)
		if (ls->wanted[i]->where.kind == ADDRESS_HOST && ls->wanted[i]->where.port == port)
			return true;
	return false;
}

/* A socket for that relay, bound if there is none yet. 0 or -errno with `error`. */
static int obtain(struct listeners *ls, struct listener *l, const struct ledger_view *view, uint32_t relay, bool alone,
	char error[BIND_ERROR_SIZE])
{
	int fd = -1;

	switch (l->where.kind) {
	case ADDRESS_HOST:
		if (l->of[relay].fd >= 0)
			return 0;
		fd = bind_tcp(&l->where, &l->policy, alone, error);
		if (fd >= 0)
			l->of[relay].fd = fd;
		break;
	case ADDRESS_UNIX:
		if (l->shared_fd >= 0)
			return 0;
		fd = bind_unix(l->where.host, -1, listed_anywhere(view, l), error);
		if (fd >= 0) {
			l->shared_fd = fd;
			l->made_file = true;
		}
		break;
	case ADDRESS_SYSTEMD:
		if (l->shared_fd >= 0)
			return 0;
		fd = gift_named(ls, l->where.host);
		if (fd < 0) {
			snprintf(error, BIND_ERROR_SIZE,
				"%s: systemd passed no socket of that name (a .socket unit with FileDescriptorName=%s must start this service)",
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

static struct listener *find(struct listener *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i]->where.text, text) == 0)
			return list[i];
	return NULL;
}

static struct listener *listener_new(const struct address *where, const struct service_config *service, struct plan_ids *ids)
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

/* All relays' sockets of one new address. */
static int obtain_all(struct listeners *ls, struct listener *l, const struct ledger_view *view, char error[BIND_ERROR_SIZE])
{
	bool alone = !listed_anywhere(view, l) && !port_is_ours(ls, view, l->where.port);

	for (uint32_t r = 0; r < view->relays; r++) {
		int e;

		if (listed(view->of[r], l))
			continue;
		e = obtain(ls, l, view, r, alone, error);
		if (e < 0)
			return e;
		alone = false;
	}
	return 0;
}

int listeners_prepare(struct listeners *ls, const struct config *config, struct plan_ids *ids, const struct ledger_view *view,
	bool lazy, struct report *report)
{
	char error[BIND_ERROR_SIZE];
	size_t total = 0;
	int result = 0;

	for (size_t i = 0; i < config->service_count; i++)
		total += config->services[i].listen_count;
	ls->next = calloc(total ? total : 1, sizeof *ls->next);
	if (!ls->next)
		return -ENOMEM;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];

		for (size_t k = 0; k < s->listen_count; k++) {
			struct listener *l = find(ls->wanted, ls->wanted_count, s->listen[k].text);
			int r = 0;

			if (!l) {
				l = listener_new(&s->listen[k], s, ids);
				if (!l) {
					report_add(report, "%s: services.%s.listen: %s: no memory", config->file, s->name, s->listen[k].text);
					result = -ENOMEM;
					continue;
				}
				r = lazy ? 0 : obtain_all(ls, l, view, error);
			}
			ls->next[ls->next_count++] = l;
			if (r < 0) {
				report_add(report, "%s: services.%s.listen: %s", config->file, s->name, error);
				result = r;
			}
		}
	}
	/* A LISTEN carries its ledger entry, and a ledger has so many. */
	if (result == 0 && total > LEDGER_LISTENERS / 2) {
		report_add(report, "%s: %zu addresses to listen on are too many (%d at most)", config->file, total, LEDGER_LISTENERS / 2);
		result = -E2BIG;
	}
	if (result < 0)
		listeners_abort(ls);
	return result;
}

/* An id that the relay lists, open, and that nothing wants. */
static void unwanted(const struct listeners *ls, const struct ledger *ledger, uint32_t relay, struct listener_order *ret)
{
	for (int i = 0; ledger && i < LEDGER_LISTENERS; i++) {
		const struct ledger_listener *e = &ledger->header->listeners[i];
		unsigned state = atomic_load_explicit(&e->state, memory_order_acquire);
		uint32_t id = e->id;
		bool keep = false;

		if (state != LISTENER_BOUND && state != LISTENER_LISTENING)
			continue;
		for (size_t k = 0; k < ls->wanted_count && !keep; k++)
			keep = entry_is(e, ls->wanted[k]->id, ls->wanted[k]->where.text);
		if (keep || ls->shut_told[relay][i] == id)
			continue;
		*ret = (struct listener_order){.step = LISTENER_SHUT, .id = id, .fd = -1, .entry = i};
		return;
	}
}

void listeners_next(struct listeners *ls, const struct ledger_view *view, uint32_t relay, enum listener_step step,
	struct listener_order *ret)
{
	char error[BIND_ERROR_SIZE];

	*ret = (struct listener_order){.step = LISTENER_NOTHING, .fd = -1};
	if (ls->stopped || relay >= view->relays)
		return;
	if (step == LISTENER_SHUT)
		unwanted(ls, view->of[relay], relay, ret);
	for (size_t i = 0; step == LISTENER_OPEN && i < ls->wanted_count; i++) {
		struct listener *l = ls->wanted[i];
		struct share *s = &l->of[relay];

		if (listed(view->of[relay], l)) {
			/* It is the relay's now, whether its answer came or was lost: a copy here would keep the port from being closed. */
			close_fd(&s->fd);
			continue;
		}
		if (s->told || s->answered)
			continue;
		if (obtain(ls, l, view, relay, false, error) < 0) {
			if (!s->complained)
				log_line(LOG_ERR, "listen: service %s: %s; relay %u goes on without it and tries again", l->service, error, relay);
			s->complained = true;
			s->answered = true;
			s->error = -EADDRNOTAVAIL;
			continue;
		}
		ret->step = LISTENER_OPEN;
		ret->id = l->id;
		ret->shared = l->shared_fd >= 0;
		ret->fd = l->shared_fd >= 0 ? l->shared_fd : s->fd;
		ret->address = l->where.text;
		return;
	}
}

static struct listener *by_id(const struct listeners *ls, uint32_t id)
{
	for (size_t i = 0; i < ls->wanted_count; i++)
		if (ls->wanted[i]->id == id)
			return ls->wanted[i];
	return NULL;
}

void listeners_told(struct listeners *ls, uint32_t relay, const struct listener_order *order)
{
	struct listener *l;

	if (order->step == LISTENER_SHUT) {
		ls->shut_told[relay][order->entry] = order->id;
		return;
	}
	l = by_id(ls, order->id);
	if (l)
		l->of[relay].told = true;
}

const char *listeners_answered(struct listeners *ls, uint32_t relay, uint32_t id, int error)
{
	struct listener *l = by_id(ls, id);

	if (!l || relay >= CENSUS_RELAYS)
		return NULL;
	l->of[relay].told = false;
	/* Its former listener of that address has been closed in order: there is a new one to open. */
	if (error == -ESHUTDOWN)
		return l->where.text;
	l->of[relay].answered = true;
	l->of[relay].error = error;
	if (error < 0 && !l->of[relay].complained)
		log_line(LOG_ERR, "listen: service %s: %s: relay %u cannot open it: %s; it tries again", l->service, l->where.text, relay,
			strerror(-error));
	l->of[relay].complained = error < 0;
	close_fd(&l->of[relay].fd);
	return l->where.text;
}

void listeners_forget(struct listeners *ls, uint32_t relay)
{
	if (relay >= CENSUS_RELAYS)
		return;
	for (size_t i = 0; i < ls->wanted_count; i++) {
		ls->wanted[i]->of[relay].told = false;
		ls->wanted[i]->of[relay].answered = false;
		ls->wanted[i]->of[relay].error = 0;
	}
	memset(ls->shut_told[relay], 0, sizeof ls->shut_told[relay]);
}

void listeners_retry(struct listeners *ls)
{
	for (size_t i = 0; i < ls->wanted_count; i++)
		for (uint32_t r = 0; r < CENSUS_RELAYS; r++)
			if (ls->wanted[i]->of[r].answered && ls->wanted[i]->of[r].error < 0)
				ls->wanted[i]->of[r].answered = false;
}

bool listeners_settled(const struct listeners *ls, const struct ledger_view *view, uint32_t relay, uint32_t *ret_failed)
{
	bool settled = true;

	*ret_failed = 0;
	for (size_t i = 0; i < ls->wanted_count; i++) {
		const struct share *s = &ls->wanted[i]->of[relay];

		if (s->answered && s->error < 0)
			++*ret_failed;
		else if (!s->answered && !listed(view->of[relay], ls->wanted[i]))
			settled = false;
	}
	return settled;
}

size_t listeners_count(const struct listeners *ls)
{
	return ls->wanted_count;
}

const char *listeners_address(const struct listeners *ls, uint32_t id)
{
	const struct listener *l = by_id(ls, id);

	return l ? l->where.text : NULL;
}
