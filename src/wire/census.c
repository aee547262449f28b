#include "wire/census.h"

#include "wire/census_clients.h"
#include "wire/shared.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where the census of clients begins. */
static size_t first_part(void)
{
	return (sizeof(struct census) + CENSUS_PAGES - 1) / CENSUS_PAGES * CENSUS_PAGES;
}

int census_create(uint64_t tree, uint32_t slots)
{
	size_t size = first_part() + census_clients_size(slots);
	int fd = shared_create("tcpwarden-census", size);
	struct census *census;
	int r;

	if (fd < 0)
		return fd;
	census = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (census == MAP_FAILED) {
		r = -errno;
		goto fail;
	}
	census->version = CENSUS_VERSION;
	census->size = size;
	census->tree = tree;
	census->magic = CENSUS_MAGIC;
	census_clients_init((char *)census + first_part());
	munmap(census, size);
	r = shared_seal(fd, false);
	if (r < 0)
		goto fail;
	return fd;
fail:
	close(fd);
	return r;
}

struct census *census_map(int fd, struct census_clients *clients)
{
	struct census_clients second;
	void *at;
	size_t size;
	struct census *census;
	int r = shared_map(fd, true, false, first_part(), &at, &size);

	if (r < 0) {
		errno = -r;
		return NULL;
	}
	census = at;
	/* How large the tables are is what the seals hold, not what someone could write there. */
	if (size != census->size || census->magic != CENSUS_MAGIC || census->version != CENSUS_VERSION ||
		census_clients_open(&second, (char *)at + first_part(), size - first_part()) < 0) {
		munmap(at, size);
		errno = EPROTO;
		return NULL;
	}
	if (clients)
		*clients = second;
	return census;
}

uint32_t census_service_total(const struct census *census, uint32_t service)
{
	uint32_t total = 0;

	for (int i = 0; i < CENSUS_RELAYS; i++)
		total += atomic_load(&census->row[i].service[service]);
	return total;
}

uint32_t census_backend_total(const struct census *census, uint32_t backend)
{
	uint32_t total = 0;

	for (int i = 0; i < CENSUS_RELAYS; i++)
		total += atomic_load_explicit(&census->row[i].backend[backend], memory_order_relaxed);
	return total;
}

int census_enter_service(struct census *census, uint32_t relay, uint32_t service, uint32_t limit)
{
	/* First in, then look: two relays that both look first would both find room. */
	atomic_fetch_add(&census->row[relay].service[service], 1);
	if (limit && census_service_total(census, service) > limit) {
		atomic_fetch_sub(&census->row[relay].service[service], 1);
		return -EDQUOT;
	}
	return 0;
}

void census_leave_service(struct census *census, uint32_t relay, uint32_t service)
{
	atomic_fetch_sub(&census->row[relay].service[service], 1);
}

void census_enter_backend(struct census *census, uint32_t relay, uint32_t backend)
{
	atomic_fetch_add_explicit(&census->row[relay].backend[backend], 1, memory_order_relaxed);
}

void census_leave_backend(struct census *census, uint32_t relay, uint32_t backend)
{
	atomic_fetch_sub_explicit(&census->row[relay].backend[backend], 1, memory_order_relaxed);
}

void census_set_row(struct census *census, uint32_t relay, const struct census_count *count)
{
	struct census_row *row = &census->row[relay];

	for (int i = 0; i < CENSUS_SERVICES; i++)
		atomic_store_explicit(&row->service[i], count->service[i], memory_order_relaxed);
	for (int i = 0; i < CENSUS_BACKENDS; i++)
		atomic_store_explicit(&row->backend[i], count->backend[i], memory_order_relaxed);
}
