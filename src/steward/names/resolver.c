#include "steward/names/resolver.h"

#include "steward/log/log.h"
#include "steward/names/name.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum { TIMERS = 3 };

struct resolver {
	uv_loop_t *loop;
	struct resolver_callbacks callbacks;
	void *context;
	struct name *names;
	uv_timer_t period, soon, prepare; /* look up all; what waits for its time; the bound of a preparation */
	bool preparing, stopping;
	bool untold;      /* a change that on_change has not told yet: soon */
	unsigned looking; /* requests that run */
	unsigned open;    /* timers not yet closed */
};

static void on_period(uv_timer_t *timer);
static void on_soon(uv_timer_t *timer);
static void on_prepare(uv_timer_t *timer);

static void finish(struct resolver *r)
{
	struct resolver_callbacks callbacks = r->callbacks;
	void *context = r->context;

	if (!r->stopping || r->open > 0 || r->looking > 0)
		return;
	for (struct name *n = r->names, *next; n; n = next) {
		next = n->next;
		name_free(n);
	}
	free(r);
	callbacks.on_stopped(context);
}

static void forget_unwanted(struct resolver *r)
{
	struct name **at = &r->names;

	while (*at) {
		struct name *n = *at;
		if (n->used || n->prepared || n->looking) {
			at = &n->next;
			continue;
		}
		*at = n->next;
		name_free(n);
	}
}

static struct name *find(const struct resolver *r, const char *text)
{
	for (struct name *n = r->names; n; n = n->next)
		if (strcmp(n->address.text, text) == 0)
			return n;
	return NULL;
}

/* A preparation ends when no name of it waits for its first answer; the timer tells it, so that it is never told from within a
 * call. */
static void check_prepared(struct resolver *r)
{
	if (!r->preparing)
		return;
	for (const struct name *n = r->names; n; n = n->next)
		if (n->prepared && !n->answered)
			return;
	uv_timer_start(&r->prepare, on_prepare, 0, 0);
}

/* True: its addresses have changed. */
static bool answer(struct name *n, const struct plan_address *found, size_t count)
{
	bool changed = name_take(n, found, count);

	check_prepared(n->resolver);
	return changed;
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct name *n = request->data;
	struct resolver *r = n->resolver;
	struct plan_address found[RESOLVER_ADDRESSES];
	size_t count = 0, left_out = 0;

	n->looking = false;
	r->looking--;
	for (const struct addrinfo *a = list; a && status == 0; a = a->ai_next) {
		struct plan_address one = {.length = (uint32_t)a->ai_addrlen};
		if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof one.to)
			continue;
		memcpy(&one.to, a->ai_addr, a->ai_addrlen);
		if (name_among(&one, found, count))
			continue;
		if (count < RESOLVER_ADDRESSES)
			found[count++] = one;
		else
			left_out++;
	}
	uv_freeaddrinfo(list);
	if (r->stopping) {
		finish(r);
		return;
	}
	if (!n->used && !n->prepared) {
		forget_unwanted(r);
		return;
	}
	if (count == 0)
		name_fail(n, status == 0 ? "the name has no address" : uv_strerror(status));
	if (left_out && !n->answered)
		log_line(LOG_WARNING, "backend %s: has more than %d addresses; %zu are left out", n->address.text,
			RESOLVER_ADDRESSES, left_out);
	if (answer(n, found, count) && n->used)
		r->callbacks.on_change(r->context);
}

static void look(struct name *n)
{
	struct resolver *r = n->resolver;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct plan_address own = {.length = 0};
	socklen_t length = 0;
	char port[8];
	int e;

	if (n->looking)
		return;
	n->again = false;
	n->asked_ms = uv_now(r->loop);
	e = address_to_sockaddr(&n->address, &own.to, &length);
	n->named = e == -ENOENT;
	if (!n->named) {
		own.length = length;
		if (e < 0)
			name_fail(n, "its zone is no interface of this machine");
		r->untold = (answer(n, &own, e == 0 ? 1 : 0) && n->used) || r->untold;
		return;
	}
	snprintf(port, sizeof port, "%u", n->address.port);
	n->request.data = n;
	e = uv_getaddrinfo(r->loop, &n->request, on_lookup, n->address.host, port, &hints);
	if (e < 0) {
		name_fail(n, uv_strerror(e));
		answer(n, NULL, 0);
		return;
	}
	n->looking = true;
	r->looking++;
}

static void on_period(uv_timer_t *timer)
{
	struct resolver *r = timer->data;

	for (struct name *n = r->names; n; n = n->next)
		if (name_changes(n))
			look(n);
	uv_timer_start(&r->soon, on_soon, 0, 0);
}

static void on_soon(uv_timer_t *timer)
{
	struct resolver *r = timer->data;
	uint64_t now = uv_now(r->loop), wait = 0;

	for (struct name *n = r->names; n; n = n->next) {
		if (n->again && now - n->asked_ms >= RESOLVER_AGAIN_MS)
			look(n);
		else if (n->again && (wait == 0 || n->asked_ms + RESOLVER_AGAIN_MS - now < wait))
			wait = n->asked_ms + RESOLVER_AGAIN_MS - now;
	}
	if (wait)
		uv_timer_start(&r->soon, on_soon, wait, 0);
	if (!r->untold)
		return;
	r->untold = false;
	r->callbacks.on_change(r->context);
}

static void on_prepare(uv_timer_t *timer)
{
	struct resolver *r = timer->data;

	if (!r->preparing)
		return;
	r->preparing = false;
	for (const struct name *n = r->names; n; n = n->next)
		if (n->prepared && !n->answered)
			log_line(LOG_WARNING,
				"backend %s: no answer from the resolver in %d s (it gets no sessions until there is one)",
				n->address.text, RESOLVER_PREPARE_MS / 1000);
	r->callbacks.on_ready(r->context);
}

int resolver_new(uv_loop_t *loop, const struct resolver_callbacks *callbacks, void *context, struct resolver **ret)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->callbacks = *callbacks;
	r->context = context;
	/* These cannot fail: uv_timer_init has no cause to, and a callback is given. */
	uv_timer_init(loop, &r->period);
	uv_timer_init(loop, &r->soon);
	uv_timer_init(loop, &r->prepare);
	r->period.data = r->soon.data = r->prepare.data = r;
	r->open = TIMERS;
	uv_timer_start(&r->period, on_period, RESOLVER_PERIOD_MS, RESOLVER_PERIOD_MS);
	*ret = r;
	return 0;
}

static int prepare_name(struct resolver *r, const struct address *address)
{
	struct name *n = find(r, address->text);

	if (!n) {
		n = name_new(r, address);
		if (!n)
			return -ENOMEM;
		n->next = r->names;
		r->names = n;
	}
	n->prepared = true;
	return 0;
}

int resolver_prepare(struct resolver *r, const struct config *config)
{
	int e = 0;

	for (struct name *n = r->names; n; n = n->next)
		n->prepared = false;
	for (size_t i = 0; i < config->service_count; i++)
		for (size_t j = 0; e == 0 && j < config->services[i].backend_count; j++)
			e = prepare_name(r, &config->services[i].backends[j].address);
	if (e < 0) {
		for (struct name *n = r->names; n; n = n->next)
			n->prepared = false;
		forget_unwanted(r);
		return e;
	}
	forget_unwanted(r);
	r->preparing = true;
	uv_timer_start(&r->prepare, on_prepare, RESOLVER_PREPARE_MS, 0);
	uv_update_time(r->loop);
	for (struct name *n = r->names; n; n = n->next)
		if (n->prepared && name_changes(n))
			look(n);
	check_prepared(r);
	return 0;
}

void resolver_use(struct resolver *r, const struct config *config)
{
	r->untold = false;
	for (struct name *n = r->names; n; n = n->next)
		n->used = n->prepared = false;
	for (size_t i = 0; i < config->service_count; i++)
		for (size_t j = 0; j < config->services[i].backend_count; j++) {
			struct name *n = find(r, config->services[i].backends[j].address.text);
			if (!n)
				continue; /* never prepared: not of this resolver */
			n->used = true;
			r->untold = r->untold || n->unread;
		}
	r->preparing = false;
	uv_timer_stop(&r->prepare);
	forget_unwanted(r);
	/* An answer that came between plan_build and now is in no plan yet. */
	if (r->untold)
		uv_timer_start(&r->soon, on_soon, 0, 0);
}

size_t resolver_pending(const struct resolver *r)
{
	size_t count = 0;

	for (const struct name *n = r->names; n; n = n->next)
		count += (n->used || n->prepared) && !n->answered;
	return count;
}

const struct plan_address *resolver_addresses(const struct resolver *r, const struct address *address, size_t *ret_count)
{
	struct name *n = find(r, address->text);

	*ret_count = n ? n->count : 0;
	if (!n)
		return NULL;
	n->unread = false;
	return n->addresses;
}

void resolver_again(struct resolver *r, const char *text)
{
	struct name *n = find(r, text);

	if (!n || r->stopping || n->looking || n->again || !name_changes(n))
		return;
	n->again = true;
	if (!uv_is_active((uv_handle_t *)&r->soon))
		uv_timer_start(&r->soon, on_soon, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
	struct resolver *r = handle->data;

	r->open--;
	finish(r);
}

void resolver_stop(struct resolver *r)
{
	if (r->stopping)
		return;
	r->stopping = true;
	for (struct name *n = r->names; n; n = n->next)
		if (n->looking)
			uv_cancel((uv_req_t *)&n->request); /* what already runs comes back in its own time */
	uv_close((uv_handle_t *)&r->period, on_closed);
	uv_close((uv_handle_t *)&r->soon, on_closed);
	uv_close((uv_handle_t *)&r->prepare, on_closed);
}
