#include "steward/plan/ids.h"

#include "wire/census.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers that are indices into the census: slot n is number n; slot 0 is none. */
struct numbers {
	struct numbered {
		char *name;     /* NULL: free */
		uint64_t freed; /* when it was set free, in settings free so far; 0: never used */
	} * slots;
	uint32_t limit;
	uint64_t frees;
};

/* Numbers without an end; uint32_t lasts for 136 years of one new address a second. */
struct listeners {
	struct listener_id {
		uint32_t id;
		char address[ADDRESS_TEXT_SIZE];
	} * entries;
	size_t count;
	uint32_t next;
};

struct plan_ids {
	struct numbers services, backends;
	struct listeners listeners;
};

/* Service names have no space in them, so that this names one pair only. */
static void backend_name(char name[SERVICE_NAME_SIZE + ADDRESS_TEXT_SIZE + 1], const char *service, const char *address)
{
	snprintf(name, SERVICE_NAME_SIZE + ADDRESS_TEXT_SIZE + 1, "%s %s", service, address);
}

static void numbers_fini(struct numbers *numbers)
{
	for (uint32_t i = 0; numbers->slots && i < numbers->limit; i++)
		free(numbers->slots[i].name);
	free(numbers->slots);
}

static uint32_t numbers_find(const struct numbers *numbers, const char *name)
{
	for (uint32_t i = 1; i < numbers->limit; i++)
		if (numbers->slots[i].name && strcmp(numbers->slots[i].name, name) == 0)
			return i;
	return 0;
}

/* The one that has been free the longest; one that was never used before all others. 0: there is none. */
static uint32_t numbers_free(const struct numbers *numbers)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i < numbers->limit; i++)
		if (!numbers->slots[i].name && (found == 0 || numbers->slots[i].freed < numbers->slots[found].freed))
			found = i;
	return found;
}

static int numbers_set(struct numbers *numbers, uint32_t id, const char *name)
{
	numbers->slots[id].name = strdup(name);
	return numbers->slots[id].name ? 0 : -ENOMEM;
}

static int numbers_get(struct numbers *numbers, const char *name, uint32_t *ret)
{
	uint32_t id = numbers_find(numbers, name);
	int r = 0;

	if (id == 0) {
		id = numbers_free(numbers);
		if (id == 0)
			return -ENOSPC;
		r = numbers_set(numbers, id, name);
	}
	if (r == 0)
		*ret = id;
	return r;
}

static void numbers_drop(struct numbers *numbers, uint32_t id)
{
	free(numbers->slots[id].name);
	numbers->slots[id].name = NULL;
	numbers->slots[id].freed = ++numbers->frees;
}

/* A number that an older plan gave. Of two that claim one name or one number the first stays. */
static int numbers_seed(struct numbers *numbers, uint32_t id, const char *name)
{
	if (numbers->slots[id].name || numbers_find(numbers, name))
		return 0;
	return numbers_set(numbers, id, name);
}

struct plan_ids *plan_ids_new(void)
{
	struct plan_ids *ids = calloc(1, sizeof *ids);

	if (!ids)
		return NULL;
	ids->services.limit = CENSUS_SERVICES;
	ids->backends.limit = CENSUS_BACKENDS;
	ids->listeners.next = 1;
	ids->services.slots = calloc(ids->services.limit, sizeof *ids->services.slots);
	ids->backends.slots = calloc(ids->backends.limit, sizeof *ids->backends.slots);
	if (!ids->services.slots || !ids->backends.slots) {
		plan_ids_free(ids);
		return NULL;
	}
	return ids;
}

void plan_ids_free(struct plan_ids *ids)
{
	if (!ids)
		return;
	numbers_fini(&ids->services);
	numbers_fini(&ids->backends);
	free(ids->listeners.entries);
	free(ids);
}

int plan_ids_seed(struct plan_ids *ids, const struct plan *plan)
{
	char name[SERVICE_NAME_SIZE + ADDRESS_TEXT_SIZE + 1];
	int r;

	for (uint32_t i = 0; i < plan->header->service_count; i++) {
		const struct plan_service *s = &plan->services[i];
		r = numbers_seed(&ids->services, s->id, s->name);
		if (r < 0)
			return r;
		for (uint32_t j = 0; j < s->backend_count; j++) {
			const struct plan_backend *b = &plan->backends[s->first_backend + j];
			backend_name(name, s->name, b->address);
			r = numbers_seed(&ids->backends, b->id, name);
			if (r < 0)
				return r;
		}
	}
	/* The plan does not say which address a listener has; the ledgers do. But its number has been given away. */
	for (uint32_t i = 0; i < plan->header->listener_count; i++)
		if (plan->listeners[i].id >= ids->listeners.next)
			ids->listeners.next = plan->listeners[i].id + 1;
	return 0;
}

static struct listener_id *listener_find(const struct listeners *listeners, const char *address)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (strcmp(listeners->entries[i].address, address) == 0)
			return &listeners->entries[i];
	return NULL;
}

static int listener_add(struct listeners *listeners, const char *address, uint32_t id)
{
	struct listener_id *more = realloc(listeners->entries, (listeners->count + 1) * sizeof *more);

	if (!more)
		return -ENOMEM;
	listeners->entries = more;
	more[listeners->count] = (struct listener_id){.id = id};
	snprintf(more[listeners->count].address, ADDRESS_TEXT_SIZE, "%s", address);
	listeners->count++;
	return 0;
}

int plan_ids_seed_listener(struct plan_ids *ids, const char *address, uint32_t id)
{
	const struct listener_id *known = listener_find(&ids->listeners, address);

	if (id >= ids->listeners.next)
		ids->listeners.next = id + 1;
	if (known)
		return known->id == id ? 0 : -EEXIST;
	for (size_t i = 0; i < ids->listeners.count; i++)
		if (ids->listeners.entries[i].id == id)
			return -EEXIST;
	return listener_add(&ids->listeners, address, id);
}

int plan_ids_reserve(struct plan_ids *ids, enum plan_id_kind kind, uint32_t id)
{
	struct numbers *numbers = kind == PLAN_ID_SERVICE ? &ids->services : &ids->backends;

	if (id == 0 || id >= numbers->limit || numbers->slots[id].name)
		return 0;
	return numbers_set(numbers, id, ""); /* no service and no backend is called so */
}

int plan_ids_service(struct plan_ids *ids, const char *name, uint32_t *ret)
{
	return numbers_get(&ids->services, name, ret);
}

int plan_ids_backend(struct plan_ids *ids, const char *service, const char *address, uint32_t *ret)
{
	char name[SERVICE_NAME_SIZE + ADDRESS_TEXT_SIZE + 1];

	backend_name(name, service, address);
	return numbers_get(&ids->backends, name, ret);
}

int plan_ids_listener(struct plan_ids *ids, const char *address, uint32_t *ret)
{
	const struct listener_id *known = listener_find(&ids->listeners, address);
	int r;

	if (known) {
		*ret = known->id;
		return 0;
	}
	r = listener_add(&ids->listeners, address, ids->listeners.next);
	if (r == 0)
		*ret = ids->listeners.next++;
	return r;
}

static bool config_has_backend(const struct config *config, const char *name)
{
	char other[SERVICE_NAME_SIZE + ADDRESS_TEXT_SIZE + 1];

	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];
		size_t length = strlen(s->name);

		if (strncmp(name, s->name, length) != 0 || name[length] != ' ')
			continue;
		for (size_t j = 0; j < s->backend_count; j++) {
			backend_name(other, s->name, s->backends[j].address.text);
			if (strcmp(name, other) == 0)
				return true;
		}
	}
	return false;
}

static bool config_has_listener(const struct config *config, const char *address)
{
	for (size_t i = 0; i < config->service_count; i++)
		for (size_t j = 0; j < config->services[i].listen_count; j++)
			if (strcmp(config->services[i].listen[j].text, address) == 0)
				return true;
	return false;
}

void plan_ids_sweep(struct plan_ids *ids, const struct config *config,
	bool (*in_use)(void *context, enum plan_id_kind kind, uint32_t id), void *context)
{
	struct listeners *l = &ids->listeners;
	size_t kept = 0;

	for (uint32_t i = 1; i < ids->services.limit; i++) {
		const char *name = ids->services.slots[i].name;
		if (name && !config_service(config, name) && !in_use(context, PLAN_ID_SERVICE, i))
			numbers_drop(&ids->services, i);
	}
	for (uint32_t i = 1; i < ids->backends.limit; i++) {
		const char *name = ids->backends.slots[i].name;
		if (name && !config_has_backend(config, name) && !in_use(context, PLAN_ID_BACKEND, i))
			numbers_drop(&ids->backends, i);
	}
	for (size_t i = 0; i < l->count; i++)
		if (config_has_listener(config, l->entries[i].address))
			l->entries[kept++] = l->entries[i];
	l->count = kept;
}
