#include "relay/table.h"

#include "relay/relay.h"
#include "relay/slot.h"
#include "wire/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASKED_AT_ONCE = 512 };

/* How many numbers the table has room for. proc(5) FDSize. */
static uint32_t room(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	uint32_t size = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "FDSize: %u", &size) == 1)
			break;
	if (f)
		fclose(f);
	return size ? size : (uint32_t)sysconf(_SC_OPEN_MAX);
}

/* proc(5): the size of /proc/self/fd, since Linux 6.2; before, 0. */
static uint32_t open_count(void)
{
	struct stat st;

	return stat("/proc/self/fd", &st) < 0 ? 0 : (uint32_t)st.st_size;
}

static uint32_t ask(struct table *table, uint32_t fd)
{
	if (fcntl((int)fd, F_GETFD) < 0)
		return 0;
	table->of[fd] |= TABLE_OPEN;
	return 1;
}

/* Of those that are not listed, by poll(2), which is quick for what is not open. */
static uint32_t ask_unlisted(struct table *table, uint32_t first, uint32_t count)
{
	struct pollfd asked[ASKED_AT_ONCE];
	uint32_t open = 0;
	bool told;

	for (uint32_t i = 0; i < count; i++)
		asked[i] = (struct pollfd){.fd = table->of[first + i] & TABLE_LISTED ? -1 : (int)(first + i)};
	told = poll(asked, count, 0) >= 0;
	for (uint32_t i = 0; i < count; i++)
		if (asked[i].fd >= 0 && (!told || !(asked[i].revents & POLLNVAL)))
			open += ask(table, first + i);
	return open;
}

/* To ask thousands of listed ones takes milliseconds, in which no session moves; so that is done only if they cannot all be open.
 */
static void ask_all(struct table *table)
{
	uint32_t listed = 0, open = 0;

	for (uint32_t first = 0; first < table->size; first += ASKED_AT_ONCE)
		open += ask_unlisted(table, first, table->size - first < ASKED_AT_ONCE ? table->size - first : ASKED_AT_ONCE);
	for (uint32_t fd = 0; fd < table->size; fd++)
		listed += table->of[fd] == TABLE_LISTED;
	if (listed + open == open_count()) {
		for (uint32_t fd = 0; fd < table->size; fd++)
			if (table->of[fd] == TABLE_LISTED)
				table->of[fd] |= TABLE_OPEN;
	} else {
		for (uint32_t fd = 0; fd < table->size; fd++)
			if (table->of[fd] == TABLE_LISTED)
				ask(table, fd);
	}
}

int table_init(struct table *table, const struct relay *relay)
{
	table->size = room();
	table->of = calloc(table->size, 1);
	if (!table->of)
		return -ENOMEM;
	table_list(table, relay);
	ask_all(table);
	return 0;
}

static void list(struct table *table, int fd)
{
	if (fd >= 0 && (uint32_t)fd < table->size)
		table->of[fd] |= TABLE_LISTED;
}

void table_list(struct table *table, const struct relay *relay)
{
	const struct ledger_header *h = relay->header;
	uint32_t high = atomic_load(&h->high_water);

	for (uint32_t fd = 0; fd < table->size; fd++)
		table->of[fd] &= (uint8_t)~TABLE_LISTED;
	for (int fd = 0; fd < HOLDER_INHERITED_END; fd++)
		list(table, fd);
	list(table, h->plan_fd);
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		if (atomic_load(&h->listeners[i].state) != LISTENER_FREE)
			list(table, h->listeners[i].fd);
	for (int i = 0; i < LEDGER_PIPES; i++)
		for (int end = 0; end < 2; end++)
			list(table, h->pipes[i].fd[end]);
	for (int i = 0; i < LEDGER_RELAYS; i++) {
		list(table, h->bridges[i].channel);
		list(table, h->bridges[i].ledger);
	}
	for (uint32_t i = 0; i < high; i++)
		for (int s = 0; s < SIDES && slot_state(&relay->ledger.slots[i]) != SLOT_FREE; s++)
			list(table, relay->ledger.slots[i].fd[s]);
}

void table_fini(struct table *table)
{
	free(table->of);
	*table = (struct table){0};
}
