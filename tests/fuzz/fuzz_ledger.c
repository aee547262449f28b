/* A ledger with noise in it, before real sockets and pipes: what a relay that starts then believes is within bounds, is the
 * kernel's word too, and lists nothing twice; and a session that no noise came near is still there. */
#include "overlay.h"

#include "base/clock.h"
#include "relay/ring.h"
#include "relay/session.h"
#include "relay/verify.h"
#include "wire/census.h"
#include "wire/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

const struct fuzz_target fuzz_target = {.runs = 30000, .size_max = 300};

enum { LISTENERS = 2, PIPES = 3, FIRST_FD = 20, LAST_FD = FUZZ_DESCRIPTORS };

static struct overlay overlay;
static struct relay relay;
static struct session sessions[OVERLAY_SLOTS];
static int32_t numbers[FUZZ_DESCRIPTORS];
static size_t number_count;

/* Above what a holder inherits, and noted. */
static int32_t noted(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);

	FUZZ_MUST(fd >= 0 && high >= 0);
	close(fd);
	numbers[number_count++] = high;
	return high;
}

static void name_of(int fd, struct endpoint *ret, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage name = {0};
	socklen_t length = sizeof name;

	FUZZ_MUST(ask(fd, (struct sockaddr *)&name, &length) == 0);
	endpoint_from_sockaddr(ret, &name);
}

static void list_listener(int index)
{
	struct ledger_listener *l = &overlay.ledger.header->listeners[index];
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	l->fd = noted(socket(AF_INET, SOCK_STREAM, 0));
	FUZZ_MUST(bind(l->fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(l->fd, 16) == 0);
	name_of(l->fd, &l->local, getsockname);
	l->id = (uint32_t)index + 1;
	snprintf(l->address, sizeof l->address, "127.0.0.1:%u", l->local.port);
	atomic_store(&l->state, LISTENER_LISTENING);
}

static void list_pipe(int index)
{
	struct ledger_pipe *p = &overlay.ledger.header->pipes[index];
	int ends[2];

	FUZZ_MUST(pipe2(ends, O_NONBLOCK) == 0);
	p->fd[0] = noted(ends[0]);
	p->fd[1] = noted(ends[1]);
	p->capacity = 65536;
}

/* [0] the end that connected, [1] the accepted one. */
static void connect_through(int listener, int32_t ret[2])
{
	struct sockaddr_in to;
	socklen_t length = sizeof to;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	FUZZ_MUST(getsockname(listener, (struct sockaddr *)&to, &length) == 0);
	FUZZ_MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	ret[0] = noted(fd);
	ret[1] = noted(accept(listener, NULL, NULL));
}

/* Clients come to the first listener, the second one is the backends'. */
static void list_session(uint32_t index)
{
	struct slot *slot = overlay_session(&overlay, index,
		index == 4   ? SLOT_RELEASING
		: index == 5 ? SLOT_CLOSING
			     : SLOT_RELAYING);
	int32_t client[2], backend[2];

	if (index == 4)
		return;
	connect_through(overlay.ledger.header->listeners[0].fd, client);
	connect_through(overlay.ledger.header->listeners[1].fd, backend);
	slot->fd[SIDE_CLIENT] = client[1];
	slot->fd[SIDE_BACKEND] = backend[0];
	name_of(client[1], &slot->record.client, getpeername);
	name_of(client[1], &slot->record.local, getsockname);
	name_of(backend[0], &slot->record.backend, getpeername);
	name_of(backend[0], &slot->record.source, getsockname);
	if (index < 2)
		slot->pipe[index] = (int32_t)index;
}

static void put_event(uint64_t number)
{
	struct ledger_event *e = &overlay.ledger.events[number & (LEDGER_EVENTS - 1)];

	e->kind = EVENT_CONNECTED;
	e->slot = (uint32_t)number % OVERLAY_SESSIONS;
	e->record = overlay.ledger.slots[e->slot].record;
	atomic_store(&e->sequence, number);
	atomic_store(&overlay.ledger.header->events_made, number);
}

static void begin(void)
{
	static const int32_t more[] = {-2, -1, 0, 1, 2, 3, HOLDER_INHERITED_END, LAST_FD - 1, LAST_FD, LEDGER_PIPES - 1,
		LEDGER_PIPES, OVERLAY_SLOTS, INT32_MAX, INT32_MIN};
	struct rlimit few = {LAST_FD, LAST_FD};

	overlay_init(&overlay);
	for (int i = 0; i < LISTENERS; i++)
		list_listener(i);
	for (int i = 0; i < PIPES; i++)
		list_pipe(i);
	for (uint32_t i = 0; i < OVERLAY_SESSIONS; i++)
		list_session(i);
	for (uint64_t n = 1; n < 8; n++)
		put_event(n);
	for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
		numbers[number_count++] = more[i];
	FUZZ_MUST(setrlimit(RLIMIT_NOFILE, &few) == 0);
	overlay_is_whole(&overlay);
}

static bool is_mode(int fd, mode_t kind)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static void list_once(uint8_t listed[LAST_FD], int32_t fd, mode_t kind)
{
	FUZZ_MUST(fd >= HOLDER_INHERITED_END && fd < LAST_FD && is_mode(fd, kind) && !listed[fd]);
	listed[fd] = 1;
}

static void check_slot(const struct slot *slot, uint8_t listed[LAST_FD], uint8_t pipes[LEDGER_PIPES])
{
	const struct session_record *record = &slot->record;

	FUZZ_MUST(atomic_load(&slot->state) < SLOT_STATES);
	FUZZ_MUST((record->id & (CENSUS_RELAYS - 1)) == OVERLAY_RELAY);
	FUZZ_MUST(record->id >> 6 < overlay.ledger.header->id_base + atomic_load(&overlay.ledger.header->id_next));
	FUZZ_MUST(memchr(record->service, '\0', sizeof record->service));
	FUZZ_MUST(record->service_id < CENSUS_SERVICES && record->backend_id < CENSUS_BACKENDS);
	FUZZ_MUST(slot->counted_service < CENSUS_SERVICES && slot->counted_backend < CENSUS_BACKENDS);
	for (int s = 0; s < SIDES; s++) {
		FUZZ_MUST(slot->fd[s] >= -1 && slot->pipe[s] >= -1 && slot->pipe[s] < LEDGER_PIPES);
		FUZZ_MUST(slot->flow[s] <= FLOW_CUT_SHUT && slot->ending[s] <= ENDING_NOW && slot->side_end[s] <= SIDE_FAILED);
		if (slot->fd[s] >= 0)
			list_once(listed, slot->fd[s], S_IFSOCK);
		if (slot->pipe[s] < 0)
			continue;
		FUZZ_MUST(!pipes[slot->pipe[s]]);
		pipes[slot->pipe[s]] = 1;
		for (int end = 0; end < 2; end++)
			FUZZ_MUST(overlay.ledger.header->pipes[slot->pipe[s]].fd[end] >= 0);
	}
}

static void check_all(void)
{
	const struct ledger_header *header = overlay.ledger.header;
	uint8_t listed[LAST_FD] = {0}, pipes[LEDGER_PIPES] = {0};

	FUZZ_MUST(atomic_load(&header->high_water) <= relay.ledger.slot_count && header->draining <= 1);
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		const struct ledger_listener *l = &header->listeners[i];

		FUZZ_MUST(atomic_load(&l->state) <= LISTENER_LISTENING);
		if (atomic_load(&l->state) == LISTENER_FREE)
			continue;
		list_once(listed, l->fd, S_IFSOCK);
		FUZZ_MUST(memchr(l->address, '\0', sizeof l->address));
	}
	for (int i = 0; i < LEDGER_PIPES; i++)
		for (int end = 0; end < 2; end++)
			if (header->pipes[i].fd[end] != -1)
				list_once(listed, header->pipes[i].fd[end], S_IFIFO);
	for (uint32_t i = 0; i < atomic_load(&header->high_water); i++)
		if (atomic_load(&overlay.ledger.slots[i].state) != SLOT_FREE)
			check_slot(&overlay.ledger.slots[i], listed, pipes);
}

/* Others that list what it lists make it doubtful, too. */
static bool has_rival(uint32_t index)
{
	const struct slot *slots =
		(const struct slot *)(overlay.whole + ((char *)overlay.ledger.slots - (char *)overlay.ledger.header));
	const struct slot *mine = &slots[index];

	for (uint32_t i = 0; i < OVERLAY_SLOTS; i++) {
		const struct slot *other = &overlay.ledger.slots[i];

		for (int s = 0; s < SIDES && i != index; s++)
			for (int t = 0; t < SIDES; t++)
				if ((mine->fd[t] >= 0 && other->fd[s] == mine->fd[t] &&
					    overlay_touched(&overlay, other, sizeof *other)) ||
					(mine->pipe[t] >= 0 && other->pipe[s] == mine->pipe[t]))
					return true;
	}
	return false;
}

/* Session 0 and 1 have pipe 0 and 1. */
static bool is_untouched(uint32_t index)
{
	const struct ledger_header *header = overlay.ledger.header;

	return !overlay_touched(&overlay, &overlay.ledger.slots[index], sizeof(struct slot)) &&
	       !overlay_touched(&overlay, &header->high_water, sizeof header->high_water) &&
	       (index > 1 || !overlay_touched(&overlay, &header->pipes[index], sizeof header->pipes[index])) && !has_rival(index);
}

static void check_untouched(void)
{
	for (int i = 0; i < LISTENERS; i++) {
		const struct ledger_listener *l = &overlay.ledger.header->listeners[i];

		FUZZ_MUST(overlay_touched(&overlay, overlay.ledger.header->listeners, sizeof overlay.ledger.header->listeners) ||
			  atomic_load(&l->state) == LISTENER_LISTENING);
	}
	for (uint32_t i = 0; i < OVERLAY_SESSIONS; i++)
		FUZZ_MUST(!is_untouched(i) || atomic_load(&overlay.ledger.slots[i].state) != SLOT_FREE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = {bytes, size};
	struct table table;
	int r;

	if (!overlay.whole)
		begin();
	overlay_apply(&overlay, &in, numbers, number_count);
	memset(&relay, 0, sizeof relay);
	r = ledger_map(&relay.ledger, overlay.fd, true);
	FUZZ_MUST(r == 0 || r == -EPROTO || r == -EINVAL);
	if (r < 0)
		return 0;
	relay.header = relay.ledger.header;
	relay.index = OVERLAY_RELAY;
	relay.sessions = memset(sessions, 0, sizeof sessions);
	relay.now_ms = clock_mono_ms();
	r = verify_header(&relay.ledger, relay.index);
	FUZZ_MUST(r == 0 || r == -EUCLEAN);
	if (r == 0) {
		ring_adopt(&relay);
		FUZZ_MUST(table_init(&table, &relay) == 0 && verify_ledger(&relay, &table) == 0);
		table_fini(&table);
		for (uint32_t i = 0; i < atomic_load(&relay.header->high_water); i++)
			if (atomic_load(&relay.ledger.slots[i].state) != SLOT_FREE && !verify_session(&relay, i))
				atomic_store(&relay.ledger.slots[i].state, SLOT_FREE);
		check_all();
		check_untouched();
	}
	ledger_unmap(&relay.ledger);
	return 0;
}
