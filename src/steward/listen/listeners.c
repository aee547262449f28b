#include "steward/listen/listeners.h"

#include "steward/listen/listener.h"
#include "steward/log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum { ERRNO_MOST = 4095 }; /* of any system call */

struct listeners {
	struct listener **wanted, **next; /* next: prepared; those also in `wanted` are the same objects */
	size_t wanted_count, next_count;
	struct gifts gifts;
	uint32_t shut_told[CENSUS_RELAYS][LEDGER_LISTENERS]; /* ids that the relay was told to shut */
	bool stopped;
};

struct listeners *listeners_new(void)
{
	return calloc(1, sizeof(struct listeners));
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
	gifts_fini(&ls->gifts);
	free(ls);
}

void listeners_inherit(struct listeners *ls, const char *name, int fd)
{
	gifts_add(&ls->gifts, name, fd);
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

static struct listener *find(struct listener *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i]->where.text, text) == 0)
			return list[i];
	return NULL;
}

/* All relays' sockets of one new address. */
static int obtain_all(struct listeners *ls, struct listener *l, const struct ledger_view *view, char error[BIND_ERROR_SIZE])
{
	bool alone = !listener_listed_anywhere(l, view) && !port_is_ours(ls, view, l->where.port);

	for (uint32_t r = 0; r < view->relays; r++) {
		int e;

		if (listener_listed(l, view->of[r]))
			continue;
		e = listener_obtain(l, &ls->gifts, view, r, alone, error);
		if (e < 0)
			return e;
		alone = false;
	}
	return 0;
}

int listeners_prepare(struct listeners *ls, const struct config *config, const struct drains *drains, struct plan_ids *ids,
	const struct ledger_view *view, bool lazy, struct report *report)
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

		for (size_t k = 0; k < s->listen_count && !drains_has(drains, s->name, NULL); k++) {
			struct listener *l = find(ls->wanted, ls->wanted_count, s->listen[k].text);
			int r = 0;

			if (!l) {
				l = listener_new(&s->listen[k], s, ids);
				if (!l) {
					report_add(report, "%s: services.%s.listen: %s: no memory", config->file, s->name,
						s->listen[k].text);
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
			keep = listener_is(ls->wanted[k], e);
		if (keep || ls->shut_told[relay][i] == id)
			continue;
		*ret = (struct listener_order){.step = LISTENER_SHUT, .id = id, .fd = -1, .entry = i};
		return;
	}
}

void listeners_next(
	struct listeners *ls, const struct ledger_view *view, uint32_t relay, enum listener_step step, struct listener_order *ret)
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

		if (listener_listed(l, view->of[relay])) {
			/* It is the relay's now, whether its answer came or was lost: a copy here would keep the port from being
			 * closed. */
			listener_drop(l, relay);
			continue;
		}
		if (s->told || s->answered)
			continue;
		if (listener_obtain(l, &ls->gifts, view, relay, false, error) < 0) {
			if (!s->complained)
				log_line(LOG_ERR, "listen: service %s: %s; relay %u goes on without it and tries again",
					l->service, error, relay);
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
	/* Its former listener of that address has been closed in order: there is a new one to open. */
	if (error == -ESHUTDOWN) {
		l->of[relay].told = false;
		return l->where.text;
	}
	/* An answer to no question of ours: the ledger says how it is. */
	if (!l->of[relay].told)
		return NULL;
	l->of[relay].told = false;
	if (error < -ERRNO_MOST)
		error = -EPROTO;
	l->of[relay].answered = true;
	l->of[relay].error = error;
	if (error < 0 && !l->of[relay].complained)
		log_line(LOG_ERR, "listen: service %s: %s: relay %u cannot open it: %s; it tries again", l->service,
			l->where.text, relay, strerror(-error));
	l->of[relay].complained = error < 0;
	listener_drop(l, relay);
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
		else if (!s->answered && !listener_listed(ls->wanted[i], view->of[relay]))
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
