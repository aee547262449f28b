#include "steward/listen/listeners.h"

#include "steward/listen/listener.h"
#include "steward/listen/place.h"
#include "steward/log/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { ERRNO_MOST = 4095 }; /* of any system call */

struct listeners {
	struct listener **wanted, **next; /* next: prepared; those also in `wanted` are the same objects */
	size_t wanted_count, next_count;
	uint32_t workers, next_workers; /* relays that are to listen */
	struct gifts gifts;
	struct message_place shut_told[CENSUS_RELAYS][LEDGER_LISTENERS]; /* what the relay was told to shut; id 0: nothing */
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

static void ask_anew(struct listener *l)
{
	l->shared_asked = 0;
	for (uint32_t p = 0; p < CENSUS_RELAYS; p++) {
		l->of[p].asked = 0;
		l->of[p].told = l->of[p].answered = false;
	}
}

void listeners_abort(struct listeners *ls)
{
	/* What was bound for relays that are not to be after all. */
	for (size_t i = 0; i < ls->wanted_count; i++)
		for (uint32_t p = ls->workers; p < ls->next_workers; p++)
			if (!ls->wanted[i]->of[p].lent)
				listener_drop(ls->wanted[i], p);
	ls->next_workers = ls->workers;
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
	for (size_t i = 0; i < ls->next_count && ls->workers != ls->next_workers; i++)
		ask_anew(ls->next[i]); /* many have another relay now */
	ls->workers = ls->next_workers;
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

/* The sockets of an address from that place on. */
static int obtain_from(struct listeners *ls, struct listener *l, uint32_t first, const struct ledger_view *view, char error[BIND_ERROR_SIZE])
{
	bool alone = !listener_listed_anywhere(l, view, PLACE_ANY) && !port_is_ours(ls, view, l->where.port);

	for (uint32_t p = first; p < ls->next_workers; p++) {
		int e;

		if (place_can_be_lent(l, view, p))
			continue;
		e = listener_obtain(l, &ls->gifts, p, alone, error);
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
	ls->next_workers = config->settings.workers;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];

		for (size_t k = 0; k < s->listen_count && !drains_has(drains, s->name, NULL); k++) {
			struct listener *l = find(ls->wanted, ls->wanted_count, s->listen[k].text);
			uint32_t first = l ? ls->workers : 0;
			int r = 0;

			if (!l) {
				l = listener_new(&s->listen[k], s, ids);
				if (!l) {
					report_add(report, "%s: services.%s.listen: %s: no memory", config->file, s->name,
						s->listen[k].text);
					result = -ENOMEM;
					continue;
				}
			}
			if (!lazy)
				r = obtain_from(ls, l, first, view, error);
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

static bool is_same(const struct message_place *a, const struct message_place *b)
{
	return a->id == b->id && a->place == b->place;
}

/* NULL: nobody wants it. */
static struct listener *wanted_of(const struct listeners *ls, const struct ledger_listener *e)
{
	for (size_t k = 0; k < ls->wanted_count; k++)
		if (listener_is(ls->wanted[k], e))
			return ls->wanted[k];
	return NULL;
}

/* What this relay lists and is not to have, or is to give a copy of. */
static bool is_due(
	const struct listeners *ls, const struct ledger_view *view, uint32_t relay, int entry, enum listener_step step)
{
	const struct ledger_listener *e = &view->of[relay]->header->listeners[entry];
	const struct message_place which = {e->id, e->place};
	const struct listener *l = wanted_of(ls, e);
	bool elsewhere;

	if (is_same(&ls->shut_told[relay][entry], &which))
		return false;
	if (l && step == LISTENER_LEND && l->where.kind == ADDRESS_UNIX)
		return !l->shared_asked && place_is_lacking(ls->workers, l, view) && place_can_be_lent(l, view, e->place);
	if (l && place_relay(ls->workers, l, e->place) == relay)
		return false;
	elsewhere = !l || place_is_elsewhere(ls->workers, l, view, e->place);
	if (step == LISTENER_SHUT)
		return elsewhere;
	return !elsewhere && !listener_is_shared(l) && l->of[e->place].fd < 0 && !l->of[e->place].asked;
}

/* And has not been given yet, though it could be. */
static bool is_to_be_given(const struct listeners *ls, const struct ledger_view *view, uint32_t relay, int entry)
{
	const struct ledger_listener *e = &view->of[relay]->header->listeners[entry];
	const struct listener *l = wanted_of(ls, e);

	return l && !listener_is_shared(l) && place_relay(ls->workers, l, e->place) != relay && !place_is_elsewhere(ls->workers, l, view, e->place) &&
	       !(l->of[e->place].answered && l->of[e->place].error < 0);
}

static void next_of_listed(const struct listeners *ls, const struct ledger_view *view, uint32_t relay, enum listener_step step,
	struct listener_order *ret)
{
	for (int i = 0; view->of[relay] && i < LEDGER_LISTENERS; i++) {
		const struct ledger_listener *e = &view->of[relay]->header->listeners[i];
		unsigned state = atomic_load_explicit(&e->state, memory_order_acquire);

		if ((state != LISTENER_BOUND && state != LISTENER_LISTENING) || !is_due(ls, view, relay, i, step))
			continue;
		*ret = (struct listener_order){.step = step, .which = {e->id, e->place}, .fd = -1, .entry = i};
		return;
	}
}

/* Whether that relay is to be given that socket now. */
static bool is_to_open(
	struct listeners *ls, struct listener *l, const struct ledger_view *view, uint32_t relay, uint32_t place)
{
	struct share *s = &l->of[place];
	char error[BIND_ERROR_SIZE];

	if (listener_listed(l, view->of[relay], place)) {
		/* It is the relay's now, whether its answer came or was lost: a copy here would keep the port from being
		 * closed. */
		listener_drop(l, place);
		return false;
	}
	if (s->told || s->answered)
		return false;
	if (s->fd < 0 && l->shared_fd < 0 && place_can_be_lent(l, view, place))
		return false; /* a copy is on its way here */
	if (listener_obtain(l, &ls->gifts, place, false, error) == 0)
		return true;
	if (!s->complained)
		log_line(LOG_ERR, "listen: service %s: %s; relay %u goes on without it and tries again", l->service, error, relay);
	s->complained = true;
	s->answered = true;
	s->error = -EADDRNOTAVAIL;
	return false;
}

static void next_to_open(struct listeners *ls, const struct ledger_view *view, uint32_t relay, struct listener_order *ret)
{
	for (size_t i = 0; i < ls->wanted_count; i++) {
		struct listener *l = ls->wanted[i];

		for (uint32_t p = relay; p < CENSUS_RELAYS; p += ls->workers) {
			/* Beyond those that are wanted, only what we have a copy of. */
			if (place_relay(ls->workers, l, p) != relay || (p >= ls->workers && l->of[p].fd < 0) ||
				!is_to_open(ls, l, view, relay, p))
				continue;
			*ret = (struct listener_order){
				.step = LISTENER_OPEN,
				.which = {l->id, p},
				.shared = listener_is_shared(l),
				.fd = listener_is_shared(l) ? l->shared_fd : l->of[p].fd,
				.address = l->where.text,
			};
			return;
		}
	}
}

void listeners_next(
	struct listeners *ls, const struct ledger_view *view, uint32_t relay, enum listener_step step, struct listener_order *ret)
{
	*ret = (struct listener_order){.step = LISTENER_NOTHING, .fd = -1};
	if (ls->stopped || relay >= view->relays)
		return;
	switch (step) {
	case LISTENER_OPEN:
		if (relay < ls->workers)
			next_to_open(ls, view, relay, ret);
		break;
	case LISTENER_SHUT:
	case LISTENER_LEND:
		next_of_listed(ls, view, relay, step, ret);
		break;
	case LISTENER_NOTHING:
		break;
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
	struct listener *l = by_id(ls, order->which.id);

	switch (order->step) {
	case LISTENER_OPEN:
		if (l)
			l->of[order->which.place].told = true;
		break;
	case LISTENER_SHUT:
		ls->shut_told[relay][order->entry] = order->which;
		break;
	case LISTENER_LEND:
		if (l)
			*(listener_is_shared(l) ? &l->shared_asked : &l->of[order->which.place].asked) = relay + 1;
		break;
	case LISTENER_NOTHING:
		break;
	}
}

const char *listeners_answered(struct listeners *ls, uint32_t relay, const struct message_place *which, int error)
{
	struct listener *l = by_id(ls, which->id);
	struct share *s;

	for (int i = 0; i < LEDGER_LISTENERS && error == -ESHUTDOWN; i++)
		if (is_same(&ls->shut_told[relay][i], which))
			ls->shut_told[relay][i].id = 0;
	if (!l || place_relay(ls->workers, l, which->place) != relay)
		return NULL;
	s = &l->of[which->place];
	/* Its former listener of that address has been closed in order: there is a new one to open. */
	if (error == -ESHUTDOWN) {
		s->told = false;
		return l->where.text;
	}
	/* An answer to no question of ours: the ledger says how it is. */
	if (!s->told)
		return NULL;
	s->told = false;
	if (error < -ERRNO_MOST)
		error = -EPROTO;
	s->answered = true;
	s->error = error;
	if (error < 0 && !s->complained)
		log_line(LOG_ERR, "listen: service %s: %s: relay %u cannot open it: %s; it tries again", l->service,
			l->where.text, relay, strerror(-error));
	s->complained = error < 0;
	if (error == 0 || !s->lent)
		listener_drop(l, which->place);
	return l->where.text;
}

bool listeners_lent(struct listeners *ls, uint32_t relay, const struct message_place *which, int fd)
{
	struct listener *l = by_id(ls, which->id);
	uint32_t *asked = NULL;
	int *copy = NULL;

	if (l && listener_is_shared(l)) {
		asked = &l->shared_asked;
		copy = &l->shared_fd;
	} else if (l && which->place < CENSUS_RELAYS) {
		asked = &l->of[which->place].asked;
		copy = &l->of[which->place].fd;
	}
	if (!asked || *asked != relay + 1 || *copy >= 0) { /* late: nobody asks any more */
		close(fd);
		return true;
	}
	*asked = 0;
	if (!bind_is(&l->where, fd)) {
		close(fd);
		return false;
	}
	*copy = fd;
	if (!listener_is_shared(l))
		l->of[which->place].lent = true;
	return true;
}

void listeners_forget(struct listeners *ls, uint32_t relay)
{
	for (size_t i = 0; i < ls->wanted_count; i++) {
		struct listener *l = ls->wanted[i];

		if (l->shared_asked == relay + 1)
			l->shared_asked = 0;
		for (uint32_t p = 0; p < CENSUS_RELAYS; p++) {
			struct share *s = &l->of[p];

			if (s->asked == relay + 1)
				s->asked = 0;
			if (place_relay(ls->workers, l, p) != relay)
				continue;
			s->told = s->answered = false;
			s->error = 0;
		}
	}
	if (relay < CENSUS_RELAYS)
		memset(ls->shut_told[relay], 0, sizeof ls->shut_told[relay]);
}

void listeners_retry(struct listeners *ls)
{
	for (size_t i = 0; i < ls->wanted_count; i++) {
		ls->wanted[i]->shared_asked = 0;
		for (uint32_t p = 0; p < CENSUS_RELAYS; p++) {
			struct share *s = &ls->wanted[i]->of[p];

			s->asked = 0;
			s->answered = s->answered && s->error == 0;
		}
	}
}

bool listeners_settled(const struct listeners *ls, const struct ledger_view *view, uint32_t relay, uint32_t *ret_failed)
{
	bool settled = true;

	*ret_failed = 0;
	for (size_t i = 0; i < ls->wanted_count; i++) {
		const struct listener *l = ls->wanted[i];

		for (uint32_t p = relay; relay < ls->workers && p < CENSUS_RELAYS; p += ls->workers) {
			const struct share *s = &l->of[p];

			if (place_relay(ls->workers, l, p) != relay || (p >= ls->workers && s->fd < 0))
				continue;
			if (s->answered && s->error < 0)
				++*ret_failed;
			else if (!s->answered && !listener_listed(l, view->of[relay], p))
				settled = false;
		}
	}
	for (int i = 0; view->of[relay] && i < LEDGER_LISTENERS && settled; i++)
		settled = !is_to_be_given(ls, view, relay, i);
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
