#include "wire/plan.h"

#include "wire/census.h"
#include "wire/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PLAN_ITEMS_MAX = 1 << 16, PLAN_TEXT_MAX = 1 << 24, ALIGNMENT = 64 };

static uint64_t align(uint64_t n)
{
	return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Where everything stands follows from the counts alone. */
static int lay_out(struct plan_header *h)
{
	if (h->service_count > PLAN_ITEMS_MAX || h->backend_count > PLAN_ITEMS_MAX || h->address_count > PLAN_ITEMS_MAX ||
		h->listener_count > PLAN_ITEMS_MAX || h->text_size > PLAN_TEXT_MAX)
		return -EINVAL;
	h->services_offset = align(sizeof *h);
	h->backends_offset = align(h->services_offset + h->service_count * sizeof(struct plan_service));
	h->addresses_offset = align(h->backends_offset + h->backend_count * sizeof(struct plan_backend));
	h->listeners_offset = align(h->addresses_offset + h->address_count * sizeof(struct plan_address));
	h->text_offset = align(h->listeners_offset + h->listener_count * sizeof(struct plan_listener));
	h->size = h->text_offset + h->text_size;
	return 0;
}

static bool within(uint32_t first, uint32_t count, uint32_t total)
{
	return first <= total && count <= total - first;
}

static bool terminated(const char *text, size_t size)
{
	return text[0] != '\0' && memchr(text, '\0', size) != NULL;
}

static bool side_ok(const struct side_policy *p)
{
	/* tcp(7); include/net/tcp.h MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT */
	if (p->keepalive_idle_s && (p->keepalive_idle_s > 32767 || p->keepalive_interval_s < 1 ||
					   p->keepalive_interval_s > 32767 || p->keepalive_count < 1 || p->keepalive_count > 127))
		return false;
	return p->linger <= LINGER_RESET;
}

static bool service_ok(const struct plan_header *h, const struct plan_service *s)
{
	const struct policy *p = &s->policy;

	return terminated(s->name, sizeof s->name) && s->id > 0 && s->id < CENSUS_SERVICES &&
	       within(s->first_backend, s->backend_count, h->backend_count) &&
	       within(s->reject_message.offset, s->reject_message.length, h->text_size) && s->balance <= BALANCE_FAILOVER &&
	       s->on_limit <= ON_LIMIT_RECLAIM && side_ok(&p->side[SIDE_CLIENT]) && side_ok(&p->side[SIDE_BACKEND]) &&
	       p->side[SIDE_BACKEND].connect_timeout_ms > 0 && p->on_failure <= END_CLOSE && p->on_connect_failure <= END_CLOSE &&
	       p->on_policy_end <= END_CLOSE && p->on_backend_gone <= BACKEND_GONE_RESET && s->drained <= 1;
}

static bool address_ok(const struct plan_address *a)
{
	switch (a->to.ss_family) {
	case AF_INET:
		return a->length == 16;
	case AF_INET6:
		return a->length == 28;
	case AF_UNIX:
		return a->length > 2 && a->length <= 110;
	}
	return false;
}

static void point(struct plan *ret, const void *at)
{
	const struct plan_header *h = at;
	const char *base = at;

	ret->header = h;
	ret->services = (const void *)(base + h->services_offset);
	ret->backends = (const void *)(base + h->backends_offset);
	ret->addresses = (const void *)(base + h->addresses_offset);
	ret->listeners = (const void *)(base + h->listeners_offset);
	ret->text = base + h->text_offset;
}

static bool whole(const void *at, size_t size)
{
	const struct plan_header *h = at;
	struct plan_header want = *h;
	struct plan plan;

	if (lay_out(&want) < 0 || want.size != size || memcmp(&want, h, sizeof want) != 0 || h->generation == 0)
		return false;
	point(&plan, at);
	for (uint32_t i = 0; i < h->service_count; i++)
		if (!service_ok(h, &plan.services[i]))
			return false;
	for (uint32_t i = 0; i < h->backend_count; i++) {
		const struct plan_backend *b = &plan.backends[i];
		if (b->id == 0 || b->id >= CENSUS_BACKENDS || !within(b->first_address, b->address_count, h->address_count) ||
			!terminated(b->address, sizeof b->address) || b->drained > 1)
			return false;
	}
	for (uint32_t i = 0; i < h->address_count; i++)
		if (!address_ok(&plan.addresses[i]))
			return false;
	for (uint32_t i = 0; i < h->listener_count; i++)
		if (plan.listeners[i].service >= h->service_count)
			return false;
	return true;
}

static void put(char *base, uint64_t offset, const void *from, size_t size)
{
	if (size)
		memcpy(base + offset, from, size);
}

int plan_create(const struct plan_source *s)
{
	struct plan_header h = {
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.generation = s->generation,
		.sessions_max = s->sessions_max,
		.relays = s->relays,
		.orphan_timeout_ms = s->orphan_timeout_ms,
		.drain_timeout_ms = s->drain_timeout_ms,
		.applied = s->applied,
		.loads = s->loads,
		.loaded_us = s->loaded_us,
		.service_count = s->service_count,
		.backend_count = s->backend_count,
		.address_count = s->address_count,
		.listener_count = s->listener_count,
		.text_size = s->text_size,
	};
	bool good;
	char *at;
	int fd, r = lay_out(&h);

	if (r < 0)
		return r;
	fd = shared_create("tcpwarden-plan", h.size);
	if (fd < 0)
		return fd;
	at = mmap(NULL, h.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		r = -errno;
		goto fail;
	}
	put(at, 0, &h, sizeof h);
	put(at, h.services_offset, s->services, s->service_count * sizeof *s->services);
	put(at, h.backends_offset, s->backends, s->backend_count * sizeof *s->backends);
	put(at, h.addresses_offset, s->addresses, s->address_count * sizeof *s->addresses);
	put(at, h.listeners_offset, s->listeners, s->listener_count * sizeof *s->listeners);
	put(at, h.text_offset, s->text, s->text_size);
	good = whole(at, h.size);
	munmap(at, h.size);
	r = good ? shared_seal(fd, true) : -EINVAL;
	if (r < 0)
		goto fail;
	return fd;
fail:
	close(fd);
	return r;
}

int plan_map(struct plan *ret, int fd)
{
	const struct plan_header *h;
	void *at;
	size_t size;
	int r = shared_map(fd, false, true, sizeof *h, &at, &size);

	if (r < 0)
		return r;
	h = at;
	if (h->magic != PLAN_MAGIC || h->version != PLAN_VERSION)
		r = -EPROTO;
	else if (!whole(at, size))
		r = -EINVAL;
	if (r < 0) {
		munmap(at, size);
		return r;
	}
	point(ret, at);
	ret->map = at;
	return 0;
}

void plan_unmap(struct plan *plan)
{
	if (plan->map)
		munmap(plan->map, plan->header->size);
	memset(plan, 0, sizeof *plan);
}

const struct plan_service *plan_service_of_listener(const struct plan *plan, uint32_t listener_id)
{
	if (!plan->header)
		return NULL;
	for (uint32_t i = 0; i < plan->header->listener_count; i++)
		if (plan->listeners[i].id == listener_id)
			return &plan->services[plan->listeners[i].service];
	return NULL;
}

const struct plan_service *plan_service_by_id(const struct plan *plan, uint32_t service_id)
{
	if (!plan->header)
		return NULL;
	for (uint32_t i = 0; i < plan->header->service_count; i++)
		if (plan->services[i].id == service_id)
			return &plan->services[i];
	return NULL;
}

const struct plan_service *plan_service_by_name(const struct plan *plan, const char *name)
{
	if (!plan->header)
		return NULL;
	for (uint32_t i = 0; i < plan->header->service_count; i++)
		if (strncmp(plan->services[i].name, name, SERVICE_NAME_SIZE) == 0)
			return &plan->services[i];
	return NULL;
}
