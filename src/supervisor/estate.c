#include "supervisor/estate.h"

#include "wire/say.h"
#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PREFIX "tree/"

static const char *const words[ESTATE_KINDS] = {
#define E(NAME, word, is) word,
	ESTATE(E)
#undef E
};

void estate_format_name(const struct estate_name *name, char ret[ESTATE_NAME_SIZE])
{
	snprintf(ret, ESTATE_NAME_SIZE, PREFIX "%s/%" PRIu32 ".%" PRIu32, words[name->kind], name->pair, name->number);
}

bool estate_is_name(const char *text)
{
	return strncmp(text, PREFIX, strlen(PREFIX)) == 0;
}

bool estate_parse_name(const char *text, struct estate_name *ret)
{
	for (unsigned kind = 0; kind < ESTATE_KINDS; kind++) {
		struct estate_name name = {.kind = (enum estate_kind)kind};
		char again[ESTATE_NAME_SIZE], format[ESTATE_NAME_SIZE];

		snprintf(format, sizeof format, PREFIX "%s/%%" SCNu32 ".%%" SCNu32, words[kind]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (sscanf(text, format, &name.pair, &name.number) != 2)
			continue;
#pragma GCC diagnostic pop
		estate_format_name(&name, again);
		if (strcmp(text, again) != 0 || name.pair >= CENSUS_RELAYS)
			continue;
		*ret = name;
		return true;
	}
	return false;
}

static struct estate_item *item_of(struct estate *estate, struct estate_name name)
{
	for (uint32_t i = 0; i < estate->count; i++) {
		const struct estate_name *at = &estate->items[i].name;

		if (at->kind == name.kind && at->pair == name.pair && at->number == name.number)
			return &estate->items[i];
	}
	return NULL;
}

static void strike(struct estate *estate, struct estate_item *item)
{
	char text[ESTATE_NAME_SIZE];

	estate_format_name(&item->name, text);
	*item = estate->items[--estate->count];
	store_remove(&estate->store, text);
}

void estate_init(struct estate *estate, struct notify *notify)
{
	memset(estate, 0, sizeof *estate);
	estate->numbers_fd = -1;
	store_init(&estate->store, notify);
}

void estate_fini(struct estate *estate)
{
	if (estate->numbers)
		munmap(estate->numbers, sizeof *estate->numbers);
	if (estate->numbers_fd >= 0)
		close(estate->numbers_fd);
	estate->numbers = NULL;
	estate->numbers_fd = -1;
	store_fini(&estate->store);
}

static int map_numbers(struct estate *estate, int fd)
{
	size_t size;
	void *at;
	int r = shared_map(fd, true, false, sizeof *estate->numbers, &at, &size);

	if (r < 0)
		return r;
	if (size != sizeof *estate->numbers) {
		munmap(at, size);
		return -EPROTO;
	}
	estate->numbers = at;
	estate->numbers_fd = fd;
	return 0;
}

int estate_open(struct estate *estate)
{
	int fd = shared_create("tcpwarden-estate", sizeof *estate->numbers), r;

	if (fd < 0)
		return fd;
	r = shared_seal(fd, false);
	if (r == 0)
		r = map_numbers(estate, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	estate->numbers->magic = ESTATE_MAGIC;
	estate->numbers->version = ESTATE_VERSION;
	estate->numbers->size = sizeof *estate->numbers;
	estate_leave(estate, (struct estate_name){ESTATE_NUMBERS, 0, 0}, fd);
	return 0;
}

int estate_read(struct estate *estate)
{
	struct estate_item *item = item_of(estate, (struct estate_name){ESTATE_NUMBERS, 0, 0});
	const struct estate_numbers *n;
	int r;

	if (!item)
		return -ENOENT;
	r = map_numbers(estate, item->fd);
	if (r < 0)
		return r;
	item->taken = true;
	n = estate->numbers;
	if (n->magic != ESTATE_MAGIC || n->version != ESTATE_VERSION || n->size != sizeof *n)
		return -EPROTO;
	return n->settings_at > 1 || n->pair_count < 1 || n->pair_count > CENSUS_RELAYS ? -EINVAL : 0;
}

void estate_leave(struct estate *estate, struct estate_name name, int fd)
{
	char text[ESTATE_NAME_SIZE];

	if (estate->closed)
		return;
	if (estate->count == ESTATE_ITEMS_MAX) {
		say(LOG_WARNING, "too much to leave to a successor: should this process die now, the tree dies with it");
		return;
	}
	estate->items[estate->count++] = (struct estate_item){name, fd, true};
	estate_format_name(&name, text);
	store_add(&estate->store, text, fd);
}

void estate_withdraw(struct estate *estate, struct estate_name name)
{
	struct estate_item *item = item_of(estate, name);

	if (item)
		strike(estate, item);
}

void estate_withdraw_all(struct estate *estate)
{
	estate->closed = true;
	while (estate->count)
		strike(estate, &estate->items[0]);
}

void estate_find(struct estate *estate, const char *text, int fd)
{
	struct estate_name name;

	if (!estate_parse_name(text, &name) || item_of(estate, name) || estate->count == ESTATE_ITEMS_MAX) {
		estate->rubbish = true;
		store_remove(&estate->store, text);
		close(fd);
		return;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	estate->items[estate->count++] = (struct estate_item){name, fd, false};
}

bool estate_has(struct estate *estate, struct estate_name name)
{
	return item_of(estate, name);
}

int estate_take(struct estate *estate, struct estate_name name)
{
	struct estate_item *item = item_of(estate, name);

	if (!item || item->taken)
		return -1;
	item->taken = true;
	return item->fd;
}

bool estate_any(const struct estate *estate, enum estate_kind kind, uint32_t pair, uint32_t *ret_number)
{
	for (uint32_t i = 0; i < estate->count; i++) {
		const struct estate_item *item = &estate->items[i];

		if (item->taken || item->name.kind != kind || item->name.pair != pair)
			continue;
		*ret_number = item->name.number;
		return true;
	}
	return false;
}

void estate_discard(struct estate *estate)
{
	for (uint32_t i = estate->count; i-- > 0;) {
		if (estate->items[i].taken)
			continue;
		close(estate->items[i].fd);
		strike(estate, &estate->items[i]);
	}
}
