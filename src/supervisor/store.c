#include "supervisor/store.h"

#include "wire/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void store_init(struct store *store, struct notify *notify)
{
	const char *most = getenv("FDSTORE");

	memset(store, 0, sizeof *store);
	if (most && strtoul(most, NULL, 10) > 0 && notify->fd >= 0)
		store->notify = notify;
	unsetenv("FDSTORE");
}

void store_export(const struct store *store, bool on)
{
	if (on && store->notify)
		setenv("FDSTORE", "1", 1); /* more than 0 is all that we read of it */
	else
		unsetenv("FDSTORE");
}

void store_fini(struct store *store)
{
	free(store->changes);
	memset(store, 0, sizeof *store);
}

static void append(struct store *store, const char *name, int fd)
{
	if (store->count == store->capacity) {
		uint32_t capacity = store->capacity ? store->capacity * 2 : 32;
		struct store_change *changes = realloc(store->changes, capacity * sizeof *changes);

		if (!changes) {
			say(LOG_ERR,
				"no memory to tell systemd of a descriptor: should this process die now, the tree dies with it");
			return;
		}
		store->changes = changes;
		store->capacity = capacity;
	}
	snprintf(store->changes[store->count].name, STORE_NAME_SIZE, "%s", name);
	store->changes[store->count++].fd = fd;
}

static void drop(struct store *store, uint32_t first, uint32_t count)
{
	memmove(store->changes + first, store->changes + first + count, (store->count - first - count) * sizeof *store->changes);
	store->count -= count;
}

void store_add(struct store *store, const char *name, int fd)
{
	if (!store->notify)
		return;
	append(store, name, fd);
	store_push(store);
}

void store_remove(struct store *store, const char *name)
{
	if (!store->notify)
		return;
	/* Not even told of: its descriptor will be closed before that could be done. */
	for (uint32_t i = 0; i < store->count; i++) {
		if (store->changes[i].fd >= 0 && strcmp(store->changes[i].name, name) == 0) {
			drop(store, i, 1);
			return;
		}
	}
	append(store, name, -1);
	store_push(store);
}

bool store_push(struct store *store)
{
	uint32_t told = 0;

	while (told < store->count && notify_store(store->notify, store->changes[told].name, store->changes[told].fd))
		told++;
	if (told)
		drop(store, 0, told);
	return store->count == 0;
}
