#include "relay/adopt.h"

#include "relay/books.h"
#include "relay/connect.h"
#include "relay/deadline.h"
#include "relay/door.h"
#include "relay/ending.h"
#include "relay/flow.h"
#include "relay/kill_point.h"
#include "relay/place.h"
#include "relay/probe.h"
#include "relay/session.h"
#include "relay/settle.h"
#include "relay/socket.h"
#include "relay/tally.h"
#include "relay/terms.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

enum { ESTABLISHED = 1, CLOSE_WAIT = 8, HELD_DESCRIPTORS = 200, PIPE_SHARE = 32 };

/* How many numbers the table has room for: no descriptor is above. proc(5) FDSize. */
static uint32_t table_size(void)
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

static void list(uint8_t *listed, uint32_t size, int fd)
{
	if (fd >= 0 && (uint32_t)fd < size)
		listed[fd] = 1;
}

uint8_t *adopt_list(const struct relay *relay, uint32_t *ret_size)
{
	const struct ledger_header *h = relay->header;
	uint32_t high = atomic_load(&h->high_water), size = table_size();
	uint8_t *listed = calloc(size, 1);

	if (!listed)
		return NULL;
	*ret_size = size;
	for (int fd = 0; fd < HOLDER_INHERITED_END; fd++)
		list(listed, size, fd);
	list(listed, size, h->plan_fd);
	for (int i = 0; i < LEDGER_LISTENERS; i++)
		if (atomic_load(&h->listeners[i].state) != LISTENER_FREE)
			list(listed, size, h->listeners[i].fd);
	for (int i = 0; i < LEDGER_PIPES; i++)
		for (int end = 0; end < 2; end++)
			list(listed, size, h->pipes[i].fd[end]);
	for (uint32_t i = 0; i < high; i++)
		for (int s = 0; s < SIDES && slot_state(&relay->ledger.slots[i]) != SLOT_FREE; s++)
			list(listed, size, relay->ledger.slots[i].fd[s]);
	return listed;
}

/* A client that was accepted and not yet listed: nothing was taken from it or given to it, and it lacks the mark that
 * every listed socket gets. */
static bool is_fresh_client(struct relay *relay, int fd)
{
	int listening = 0;
	socklen_t length = sizeof listening;
	struct books books;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 || listening || socket_is_armed(fd) ||
		!door_of(relay, fd))
		return false;
	if (books_read(fd, 0, &books) < 0)
		return socket_family(fd) == AF_UNIX;
	return (books.state == ESTABLISHED || books.state == CLOSE_WAIT) && books.taken == 0 && books.given == 0;
}

int adopt_sort(struct relay *relay, struct adopt_fresh *ret)
{
	uint32_t size, fresh_room = 0;
	uint8_t *listed = adopt_list(relay, &size);

	if (!listed)
		return -ENOMEM;
	for (int fd = 0; fd < (int)size; fd++) {
		if (listed[fd] || fcntl(fd, F_GETFD) < 0)
			continue;
		if (!is_fresh_client(relay, fd)) {
			close(fd);
			continue;
		}
		if (ret->count == fresh_room) {
			uint32_t room = fresh_room ? fresh_room * 2 : 64;
			int *more = realloc(ret->fd, room * sizeof *more);

			if (!more) {
				free(listed);
				return -ENOMEM;
			}
			ret->fd = more;
			fresh_room = room;
		}
		ret->fd[ret->count++] = fd;
	}
	free(listed);
	return 0;
}

static bool books_matter(const struct slot *slot)
{
	return slot_state(slot) == SLOT_RELAYING || slot_state(slot) == SLOT_CLOSING;
}

/* A reason is noted before the state follows. Of a peer's failure the next look tells again; but that we end it ourselves no
 * socket tells. */
static void follow_reason(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct reason reason = slot->record.reason;
	enum slot_state state = slot_state(slot);

	switch ((enum who)reason.who) {
	case WHO_POLICY:
	case WHO_OPERATOR:
	case WHO_SYSTEM:
		if (slot->ending[SIDE_CLIENT] != ENDING_NONE) /* how, was decided */
			ending_begin(relay, session, &reason, (enum side_ending)slot->ending[SIDE_CLIENT]);
		else
			session_end_by_us(relay, session, &reason, false);
		return;
	case WHO_CLIENT:
	case WHO_BACKEND:
	case WHO_HOOK: /* the steward will say so again */
		break;
	case WHO_NONE:
	case WHO_COUNT:
		return;
	}
	if (state != SLOT_ACQUIRING && state != SLOT_CONNECTING)
		return;
	slot_write_begin(slot);
	slot->record.reason = (struct reason){0};
	slot_write_end(slot);
}

#ifdef TEST_VERSION
/* A field that older programs do not know: 0 from them, and what we wrote as long as the session lives. */
static void adopt_extra(struct slot *slot)
{
	if (slot->spare[0] != 0 && slot->spare[0] != slot->record.id)
		say(LOG_CRIT, "session %llx: the extension is another session's", (unsigned long long)slot->record.id);
	slot->spare[0] = slot->record.id;
}
#else
static void adopt_extra(struct slot *slot)
{
	(void)slot;
}
#endif

static void adopt_session(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	int r = 0;

	if (atomic_load(&slot->sequence) & 1) /* its writer died in the middle: it is as whole as it will ever be */
		slot_write_end(slot);
	vacancies_mark(&relay->vacancies, session->index);
	adopt_extra(slot);
	place_adopt(slot);
	session->check_ms = WHEEL_TICK_MS;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0)
			socket_arm_reset(slot->fd[s]);
	if (books_matter(slot))
		r = settle_session(relay, session);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && books_matter(slot); s++)
		if (flow_is_shut(slot->flow[s]) && slot->fd[other_side(s)] >= 0)
			shutdown(slot->fd[other_side(s)], SHUT_WR); /* noted and perhaps not said: again does no harm */
	terms_adopt(relay, session);
	probe_adopt(relay, session);
	kill_point();
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0)
			relay_watch_session(relay, session->index, s, slot->fd[s]);
	if (r < 0) {
		say(LOG_CRIT, "session %llx: bytes were lost at a relay's death; it is reset",
			(unsigned long long)slot->record.id);
		ending_begin(relay, session, &(struct reason){.who = WHO_SYSTEM, .how = HOW_FAILED, .error = EIO}, ENDING_NOW);
	}
	if (slot_state(slot) != SLOT_REFUSING && slot_state(slot) != SLOT_CLOSING)
		follow_reason(relay, session);
	if (slot_state(slot) == SLOT_CONNECTING)
		connect_adopt(relay, session);
	if (slot_state(slot) == SLOT_CLOSING || slot_state(slot) == SLOT_CONNECTING)
		wheel_set(&relay->wheel, &session->due, slot->deadline_ms);
	if (books_matter(slot))
		deadline_adopt(relay, session);
	session_queue(relay, session);
}

static void adopt_pipes(struct relay *relay, uint32_t high)
{
	uint8_t held[LEDGER_PIPES] = {0};
	long descriptors = sysconf(_SC_OPEN_MAX);
	uint32_t cap = descriptors > HELD_DESCRIPTORS ? (uint32_t)descriptors / PIPE_SHARE : 4;

	for (uint32_t i = 0; i < high; i++) {
		const struct slot *slot = &relay->ledger.slots[i];

		for (int s = 0; s < SIDES && slot_state(slot) != SLOT_FREE; s++)
			if (slot->pipe[s] >= 0 && slot->pipe[s] < LEDGER_PIPES)
				held[slot->pipe[s]] = 1;
	}
	pipes_start(&relay->pipes, relay->header, cap, held);
}

void adopt_sessions(struct relay *relay, struct adopt_fresh *fresh)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	tally_adopt(relay);
	adopt_pipes(relay, high);
	for (uint32_t i = 0; i < high; i++)
		if (slot_state(&relay->ledger.slots[i]) != SLOT_FREE)
			adopt_session(relay, &relay->sessions[i]);
	for (uint32_t i = 0; i < fresh->count; i++) {
		const struct ledger_listener *door = door_of(relay, fresh->fd[i]);
		const struct plan_service *service = door ? plan_service_of_listener(&relay->plan, door->id) : NULL;
		struct sockaddr_storage client = {0};
		socklen_t length = sizeof client;

		if (!service || getpeername(fresh->fd[i], (struct sockaddr *)&client, &length) < 0) {
			socket_arm_reset(fresh->fd[i]);
			close(fresh->fd[i]);
		} else {
			session_begin(relay, service, door, fresh->fd[i], &client);
		}
	}
	doors_adopt(relay);
	free(fresh->fd);
	*fresh = (struct adopt_fresh){0};
}
