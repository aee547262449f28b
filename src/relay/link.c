#include "relay/link.h"

#include "relay/door.h"
#include "relay/gone.h"
#include "relay/own.h"
#include "relay/place.h"
#include "relay/probe.h"
#include "relay/reclaim.h"
#include "relay/review.h"
#include "relay/session.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syslog.h>
#include <unistd.h>

enum { RESOLVE_EVERY_MS = 500 };

static const message_set steward_may_say = 0 | (message_set)1 << MESSAGE_STEWARD_HELLO | (message_set)1 << MESSAGE_PLAN |
					   (message_set)1 << MESSAGE_LISTEN | (message_set)1 << MESSAGE_UNLISTEN |
					   (message_set)1 << MESSAGE_VERDICT | (message_set)1 << MESSAGE_END_DURABLE |
					   (message_set)1 << MESSAGE_EVENTS_TAKEN | (message_set)1 << MESSAGE_KILL |
					   (message_set)1 << MESSAGE_KILL_ALL | (message_set)1 << MESSAGE_PROBE |
					   (message_set)1 << MESSAGE_RECLAIM | (message_set)1 << MESSAGE_ROOM |
					   (message_set)1 << MESSAGE_DRAIN | (message_set)1 << MESSAGE_LEND;

static void on_channel(uv_poll_t *poll, int status, int events);

static void await(struct relay *relay, bool writable)
{
	if (relay->link.writable_awaited == writable)
		return;
	relay->link.writable_awaited = writable;
	relay->loop_touched = true;
	uv_poll_start(&relay->link.poll, UV_READABLE | (writable ? UV_WRITABLE : 0), on_channel);
}

/* What does not go now is said again, when the channel is writable or, if something else is short (ETOOMANYREFS, ENOBUFS: no edge
 * tells when that is over), at the next heartbeat. */
static bool was_said(struct link *link, int r)
{
	if (r < 0) {
		link->behind = true;
		link->full = r == -EAGAIN;
	}
	return r == 0;
}

/* *owed stays until it went. */
static bool say_owed(struct relay *relay, bool *owed, enum message_kind kind, const void *body)
{
	if (!*owed)
		return true;
	*owed = !was_said(&relay->link, message_send(relay->link.channel, kind, body, NULL));
	return !*owed;
}

/* The state in which a session has this to say. */
static enum slot_state state_of(enum message_kind kind)
{
	if (kind == MESSAGE_FULL)
		return SLOT_WAITING;
	if (kind == MESSAGE_MOVED)
		return SLOT_GONE;
	return kind == MESSAGE_ACQUIRE ? SLOT_ACQUIRING : SLOT_RELEASING;
}

static int tell_one(struct relay *relay, struct session *session)
{
	const struct slot *slot = session_slot(relay, session);
	struct message_session body = {.id = session->own.id, .slot = session->index};

	/* It may have moved on while it waited: then there is something newer to say, or nothing. */
	if (!own_check(relay, session) || slot_state(slot) != state_of(session->tell))
		return 0;
	return message_send(
		relay->link.channel, session->tell, &body, session->tell == MESSAGE_ACQUIRE ? &slot->fd[SIDE_CLIENT] : NULL);
}

static void flush(struct relay *relay)
{
	struct link *link = &relay->link;
	uint32_t generation = relay->plan.header ? relay->plan.header->generation : 0;
	struct message_hello hello = {.generation = generation, .starts = atomic_load(&relay->header->starts)};
	bool goes;

	link->behind = link->full = false;
	goes = say_owed(relay, &link->hello_owed, MESSAGE_RELAY_HELLO, &hello) &&
	       say_owed(relay, &link->plan_owed, MESSAGE_PLAN_TAKEN, &(struct message_generation){generation}) &&
	       say_owed(relay, &link->ring_owed, MESSAGE_EVENTS, NULL);
	while (goes && link->tell_head) {
		struct session *session = link->tell_head;

		if (!was_said(link, tell_one(relay, session)))
			break;
		link->tell_head = session->tell_next;
		if (!link->tell_head)
			link->tell_tail = &link->tell_head;
		session->telling = false;
		session->tell = 0;
	}
	await(relay, link->behind && link->full);
}

void link_try_again(struct relay *relay)
{
	if (relay->link.behind)
		flush(relay);
}

void link_tell(struct relay *relay, struct session *session, enum message_kind kind)
{
	session->tell = (uint8_t)kind;
	if (!session->telling) {
		session->telling = true;
		session->tell_next = NULL;
		*relay->link.tell_tail = session;
		relay->link.tell_tail = &session->tell_next;
	}
	if (!relay->link.behind)
		flush(relay);
}

void link_forget(struct relay *relay, struct session *session)
{
	struct session **at = &relay->link.tell_head;

	if (!session->telling)
		return;
	while (*at != session)
		at = &(*at)->tell_next;
	*at = session->tell_next;
	if (!*at)
		relay->link.tell_tail = at;
	session->telling = false;
}

void link_ring(struct relay *relay)
{
	if (relay->link.rung)
		return;
	relay->link.rung = relay->link.ring_owed = true;
	if (!relay->link.behind)
		flush(relay);
}

void link_resolve(struct relay *relay, uint32_t backend_id)
{
	struct message_session body = {.backend_id = backend_id};

	if (!backend_id || relay->now_ms - relay->link.resolve_ms < RESOLVE_EVERY_MS)
		return;
	relay->link.resolve_ms = relay->now_ms;
	message_send(relay->link.channel, MESSAGE_RESOLVE, &body, NULL);
}

void link_listening(struct relay *relay, const struct message_place *which, int error)
{
	/* Lost, it is asked for again: the steward reads the ledger's list of listeners. */
	message_send(relay->link.channel, MESSAGE_LISTENING, &(struct message_listening){*which, error}, NULL);
}

void link_lend(struct relay *relay, const struct message_place *which, int fd)
{
	/* Likewise. */
	message_send(relay->link.channel, MESSAGE_LENT, which, &fd);
}

/* The steward may name a slot that has moved on since: the id says whether it is still the same session. */
static struct session *find(struct relay *relay, uint32_t slot, uint64_t id)
{
	if (slot >= relay->ledger.slot_count || !id || relay->sessions[slot].own.id != id ||
		!own_check(relay, &relay->sessions[slot]))
		return NULL;
	return &relay->sessions[slot];
}

static void take_plan(struct relay *relay, struct message *m)
{
	struct plan plan;
	int fd = m->fds[0], old = relay->header->plan_fd, r = plan_map(&plan, fd);

	if (r < 0) {
		say(LOG_ERR, "refused a plan: %s", strerror(-r));
		return;
	}
	/* It goes over an exec with us, like all that the ledger lists. */
	fcntl(fd, F_SETFD, 0);
	m->fds[0] = -1;
	relay->header->plan_fd = fd;
	if (old >= 0)
		close(old);
	plan_unmap(&relay->plan);
	relay->plan = plan;
	doors_apply_plan(relay);
	review_begin(relay);
}

void link_plan_taken(struct relay *relay)
{
	relay->link.plan_owed = true;
	flush(relay);
}

/* A steward that starts knows nothing of what was asked of its predecessor. */
static void say_all_again(struct relay *relay)
{
	uint32_t high = atomic_load(&relay->header->high_water);

	relay->link.hello_owed = true;
	relay->link.rung = false;
	for (uint32_t i = 0; i < high; i++) {
		enum slot_state state = slot_state(&relay->ledger.slots[i]);

		if (state == SLOT_ACQUIRING)
			link_tell(relay, &relay->sessions[i], MESSAGE_ACQUIRE);
		else if (state == SLOT_RELEASING)
			link_tell(relay, &relay->sessions[i], MESSAGE_ENDED);
		else if (state == SLOT_WAITING)
			link_tell(relay, &relay->sessions[i], MESSAGE_FULL);
		else if (state == SLOT_GONE && (relay->ledger.slots[i].told & TOLD_ASKED))
			link_tell(relay, &relay->sessions[i], MESSAGE_MOVED);
	}
	flush(relay);
	link_ring(relay);
}

/* Two relays: its sockets are to be left alone. */
static bool is_between(const struct slot *slot)
{
	return slot_state(slot) == SLOT_LEAVING || slot_state(slot) == SLOT_GONE || slot_state(slot) == SLOT_ARRIVING;
}

static void obey(struct relay *relay, struct message *m)
{
	struct session *session;

	switch ((enum message_kind)m->header.kind) {
	case MESSAGE_STEWARD_HELLO:
		say_all_again(relay);
		break;
	case MESSAGE_PLAN:
		take_plan(relay, m);
		break;
	case MESSAGE_LISTEN:
		door_open(relay, m);
		break;
	case MESSAGE_UNLISTEN:
		door_close(relay, &m->body.place);
		break;
	case MESSAGE_LEND:
		door_lend(relay, &m->body.place);
		break;
	case MESSAGE_VERDICT:
		session = find(relay, m->body.verdict.slot, m->body.verdict.id);
		if (session)
			session_verdict(relay, session, &m->body.verdict);
		break;
	case MESSAGE_END_DURABLE:
		session = find(relay, m->body.session.slot, m->body.session.id);
		if (session && slot_state(session_slot(relay, session)) == SLOT_RELEASING && !session->telling)
			session_free(relay, session);
		else if (session && slot_state(session_slot(relay, session)) == SLOT_GONE && !session->telling)
			gone_filed(relay, session);
		break;
	case MESSAGE_EVENTS_TAKEN:
		relay->link.rung = false;
		atomic_store(&relay->header->events_taken, m->body.taken.number);
		if (m->body.taken.number < atomic_load(&relay->header->events_made))
			link_ring(relay);
		break;
	case MESSAGE_KILL:
		session = find(relay, m->body.kill.slot, m->body.kill.id);
		if (session)
			session_end_by_us(relay, session, &m->body.kill.reason, m->body.kill.now);
		break;
	case MESSAGE_KILL_ALL:
		session_end_all_by_us(relay, &m->body.kill.reason, m->body.kill.now);
		break;
	case MESSAGE_PROBE:
		session = find(relay, m->body.session.slot, m->body.session.id);
		if (session && !is_between(session_slot(relay, session)))
			probe_ask(relay, session);
		break;
	case MESSAGE_RECLAIM:
		reclaim_begin(relay, &m->body.reclaim);
		break;
	case MESSAGE_ROOM:
		session = find(relay, m->body.session.slot, m->body.session.id);
		if (session)
			place_try_again(relay, session);
		break;
	case MESSAGE_DRAIN:
		doors_drain(relay);
		break;
#define M(NAME, ...) case MESSAGE_##NAME:
		M(NONE)
		M(KINDS) M(SETTINGS) M(ACCEPTED) M(READY) M(RELOADED) M(RELOADING) M(STATUS) M(REPLACE) M(STOPPED) M(UPGRADE)
			M(BEGIN) M(RESUME) M(INHERITED) M(PAIR) M(PAIR_LOST) M(RELOAD) M(STOP) M(UPGRADE_STATE) M(SUPERVISOR) M(HOLDER) M(RELAY)
				M(HAND_OVER) M(RELAY_HELLO) M(PLAN_TAKEN) M(LISTENING) M(ACQUIRE) M(ENDED) M(EVENTS)
					M(RESOLVE) M(FULL) M(RECLAIMED) M(PAIRS) M(RETIRE) M(LENT) M(WORKERS) M(MOVED) M(BRIDGE) M(GIVE)
#undef M
					break; /* never permitted here */
	}
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct relay *relay = poll->data;
	struct message message;

	if (status < 0)
		return;
	if (events & UV_WRITABLE)
		flush(relay);
	for (int i = 0; i < 64; i++) {
		int r = message_receive(relay->link.channel, &message, steward_may_say);

		if (r == 0)
			return;
		if (r == -EBADMSG) {
			say(LOG_ERR, "dropped a message of the steward that is not for me (kind %s)",
				message_name(message.header.kind));
			continue;
		}
		if (r < 0) {
			uv_poll_stop(poll);
			return;
		}
		obey(relay, &message);
		message_close_fds(&message);
	}
}

int link_start(struct relay *relay, int channel)
{
	struct link *link = &relay->link;
	int r;

	link->channel = channel;
	link->tell_tail = &link->tell_head;
	message_drain(channel);
	r = uv_poll_init(&relay->loop, &link->poll, channel);
	if (r == 0)
		r = uv_poll_start(&link->poll, UV_READABLE, on_channel);
	link->poll.data = relay;
	if (r < 0)
		return r;
	say_all_again(relay);
	return 0;
}
