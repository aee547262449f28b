#include "steward/plan/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a plan while it is put together. */
struct draft {
	struct plan_service *services;
	struct plan_backend *backends;
	struct plan_address *addresses;
	struct plan_listener *listeners;
	char *text;
	uint32_t service_count, backend_count, address_count, listener_count, text_size;
};

static void draft_fini(struct draft *draft)
{
	free(draft->services);
	free(draft->backends);
	free(draft->addresses);
	free(draft->listeners);
	free(draft->text);
}

/* Room for everything, counted first, so that filling cannot fail half-way. */
static int draft_init(struct draft *draft, const struct config *config, const struct resolver *resolver)
{
	size_t backends = 0, addresses = 0, listeners = 0, text = 0, count;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];
		backends += s->backend_count;
		listeners += s->listen_count;
		text += s->reject_length;
		for (size_t j = 0; j < s->backend_count; j++) {
			resolver_addresses(resolver, &s->backends[j].address, &count);
			addresses += count;
		}
	}
	*draft = (struct draft){
		/* One more than needed: calloc of none may be NULL. */
		.services = calloc(config->service_count + 1, sizeof *draft->services),
		.backends = calloc(backends + 1, sizeof *draft->backends),
		.addresses = calloc(addresses + 1, sizeof *draft->addresses),
		.listeners = calloc(listeners + 1, sizeof *draft->listeners),
		.text = calloc(text + 1, 1),
	};
	if (!draft->services || !draft->backends || !draft->addresses || !draft->listeners || !draft->text) {
		draft_fini(draft);
		return -ENOMEM;
	}
	return 0;
}

static int add_backend(struct draft *draft, const struct service_config *service, const struct address *address,
	const struct drains *drains, const struct resolver *resolver, struct plan_ids *ids)
{
	struct plan_backend *b = &draft->backends[draft->backend_count];
	size_t count;
	const struct plan_address *addresses = resolver_addresses(resolver, address, &count);
	int r = plan_ids_backend(ids, service->name, address->text, &b->id);

	if (r < 0)
		return r;
	if (drains_has(drains, service->name, address->text)) {
		b->drained = 1;
		count = 0;
	}
	b->first_address = draft->address_count;
	b->address_count = (uint32_t)count;
	strcpy(b->address, address->text);
	if (count)
		memcpy(draft->addresses + draft->address_count, addresses, count * sizeof *addresses);
	draft->address_count += (uint32_t)count;
	draft->backend_count++;
	return 0;
}

static int add_service(struct draft *draft, const struct service_config *service, const struct drains *drains,
	const struct resolver *resolver, struct plan_ids *ids)
{
	struct plan_service *s = &draft->services[draft->service_count];
	int r = plan_ids_service(ids, service->name, &s->id);

	strcpy(s->name, service->name);
	s->limit_connections = service->limit_connections;
	s->limit_per_client = service->limit_per_client;
	s->on_limit = service->reclaim_timeout_ms ? (uint8_t)service->on_limit : ON_LIMIT_REJECT;
	s->policy = service->policy;
	s->balance = (uint8_t)service->balance;
	s->drained = drains_has(drains, service->name, NULL);
	s->reject_message = (struct plan_text){draft->text_size, (uint32_t)service->reject_length};
	if (service->reject_length)
		memcpy(draft->text + draft->text_size, service->reject_message, service->reject_length);
	draft->text_size += (uint32_t)service->reject_length;
	s->first_backend = draft->backend_count;
	s->backend_count = (uint32_t)service->backend_count;
	for (size_t i = 0; r == 0 && i < service->backend_count; i++)
		r = add_backend(draft, service, &service->backends[i].address, drains, resolver, ids);
	for (size_t i = 0; r == 0 && !s->drained && i < service->listen_count; i++) {
		struct plan_listener *l = &draft->listeners[draft->listener_count++];
		l->service = draft->service_count;
		r = plan_ids_listener(ids, service->listen[i].text, &l->id);
	}
	draft->service_count++;
	return r;
}

int plan_build(const struct config *config, const struct drains *drains, const struct resolver *resolver, struct plan_ids *ids,
	const struct plan_stamp *stamp)
{
	struct draft draft;
	int r = draft_init(&draft, config, resolver);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < config->service_count; i++)
		r = add_service(&draft, &config->services[i], drains, resolver, ids);
	if (r == 0)
		r = plan_create(&(struct plan_source){
			.generation = stamp->generation,
			.loads = stamp->loads,
			.loaded_us = stamp->loaded_us,
			.sessions_max = config->settings.sessions_max,
			.orphan_timeout_ms = config->settings.orphan_timeout_ms,
			.drain_timeout_ms = config->drain_timeout_ms,
			.applied = stamp->applied,
			.relays = config->settings.workers,
			.services = draft.services,
			.backends = draft.backends,
			.addresses = draft.addresses,
			.listeners = draft.listeners,
			.text = draft.text,
			.service_count = draft.service_count,
			.backend_count = draft.backend_count,
			.address_count = draft.address_count,
			.listener_count = draft.listener_count,
			.text_size = draft.text_size,
		});
	draft_fini(&draft);
	return r;
}
