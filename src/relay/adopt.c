#include "relay/adopt.h"

#include "relay/books.h"
#include "relay/connect.h"
#include "relay/deadline.h"
#include "relay/door.h"
#include "relay/ending.h"
#include "relay/flow.h"
#include "relay/gone.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/place.h"
#include "relay/probe.h"
#include "relay/review.h"
#include "relay/session.h"
#include "relay/settle.h"
#include "relay/socket.h"
#include "relay/tally.h"
#include "relay/terms.h"
#include "relay/verify.h"
#include "wire/inherit.h"
#include "wire/say.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

enum {
	ESTABLISHED = 1, /* include/net/tcp_states.h */
	CLOSE_WAIT = 8,
	HELD_DESCRIPTORS = 200,
	PIPE_SHARE = 32,
	SESSIONS_A_TURN = 128,
};

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

/* No memory for one more: it is closed like what is not fresh. */
static bool keep_fresh(struct adopt_fresh *fresh, int fd)
{
	if (fresh->count == fresh->room) {
		uint32_t room = fresh->room ? fresh->room * 2 : 64;
		int *more = realloc(fresh->fd, room * sizeof *more);

		if (!more)
			return false;
		fresh->fd = more;
		fresh->room = room;
	}
	fresh->fd[fresh->count++] = fd;
	return true;
}

/* A predecessor's set of sockets. To fill another one, and to close this one, would take as long as all the rest of an adoption.
 * epoll_ctl(2): EINVAL for what is none; the set of a predecessor's libuv has one of the channels in it. */
static bool is_set(int fd)
{
	static const int channels[] = {INHERIT_SUPERVISOR, INHERIT_PARENT, HOLDER_STEWARD};

	for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
		if (epoll_ctl(fd, EPOLL_CTL_DEL, channels[i], NULL) == 0 || errno != ENOENT)
			return false;
	return true;
}

static int find_set(const struct table *table)
{
	for (int fd = 0; fd < (int)table->size; fd++)
		if (table->of[fd] == TABLE_OPEN && is_set(fd))
			return fd;
	return -1;
}

void adopt_sort(struct relay *relay, const struct table *table, struct adopt_fresh *ret)
{
	relay->epoll = find_set(table);
	for (int fd = 0; fd < (int)table->size; fd++) {
		if (table->of[fd] != TABLE_OPEN || fd == relay->epoll || (is_fresh_client(relay, fd) && keep_fresh(ret, fd)))
			continue;
		epoll_ctl(relay->epoll, EPOLL_CTL_DEL, fd, NULL); /* where others have it, to close it would not do */
		close(fd);
	}
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

/* What the ledger and the kernel say of it do not agree. No other session lists what it lists, and no one does when it is free: a
 * successor would close it. */
static void drop(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	slot_set_state(slot, SLOT_FREE);
	kill_point();
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		int fd = slot->fd[s];

		flow_drop_pipe(relay, session, s);
		own_set_fd(session, slot, s, -1);
		if (fd >= 0)
			close(fd);
		kill_point();
	}
	tally_leave(relay, session);
	session_free(relay, session);
}

static void take_up(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	int r = 0;

	adopt_extra(slot);
	place_adopt(slot);
	session->check_ms = WHEEL_TICK_MS;
	/* Until it relays its sockets may not be marked yet, and when it closes the mark may be gone. */
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0 && slot_state(slot) != SLOT_RELAYING)
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
			relay_watch_adopted(relay, session->index, s, slot->fd[s]);
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

void adopt_session(struct relay *relay, struct session *session)
{
	session->waits = false;
	if (verify_session(relay, session->index))
		take_up(relay, session);
	else
		drop(relay, session);
}

void adopt_moved(struct relay *relay, struct session *session)
{
	link_forget(relay, session);
	session_renew(session);
	take_up(relay, session);
	if (relay->plan.header && slot_state(session_slot(relay, session)) == SLOT_RELAYING)
		review_session(relay, session);
}

/* Of what is on its way from one relay to another, only whose it is matters. False: it is ours, and adopted as any other. */
static bool is_on_its_way(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	if (slot_state(slot) == SLOT_LEAVING)
		slot_set_state(slot, SLOT_RELAYING);
	if (slot_state(slot) == SLOT_GONE)
		gone_adopt(relay, session);
	else if (slot_state(slot) == SLOT_ARRIVING)
		relay->arriving++;
	else
		return false;
	return true;
}

/* What all need before the first of them is taken up: what is whole, and whose each place, pipe and count is. */
static void claim(struct relay *relay, uint32_t high)
{
	for (uint32_t i = 0; i < high; i++) {
		struct slot *slot = &relay->ledger.slots[i];

		if (slot_state(slot) == SLOT_FREE)
			continue;
		if (atomic_load(&slot->sequence) & 1) /* its writer died in the middle: it is as whole as it will ever be */
			slot_write_end(slot);
		vacancies_mark(&relay->vacancies, i);
		relay->sessions[i].waits = !is_on_its_way(relay, &relay->sessions[i]);
	}
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

static void begin_fresh(struct relay *relay, int fd)
{
	const struct ledger_listener *door = door_of(relay, fd);
	const struct plan_service *service = door ? plan_service_of_listener(&relay->plan, door->id) : NULL;
	struct sockaddr_storage client = {0};
	socklen_t length = sizeof client;

	if (!service || getpeername(fd, (struct sockaddr *)&client, &length) < 0) {
		socket_arm_reset(fd);
		close(fd);
	} else {
		session_begin(relay, service, door, fd, &client);
	}
}

void adopt_sessions(struct relay *relay, struct adopt_fresh *fresh)
{
	uint32_t high = atomic_load(&relay->header->high_water), next = 0;

	tally_adopt(relay);
	adopt_pipes(relay, high);
	claim(relay, high);
	for (uint32_t i = 0; i < fresh->count; i++)
		begin_fresh(relay, fresh->fd[i]);
	free(fresh->fd);
	*fresh = (struct adopt_fresh){0};
	doors_adopt(relay);
	while (next < high) {
		for (int n = 0; next < high && n < SESSIONS_A_TURN; next++)
			if (relay->sessions[next].waits) {
				adopt_session(relay, &relay->sessions[next]);
				n++;
			}
		if (next < high)
			relay_serve(relay);
	}
}
