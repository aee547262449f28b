#include "relay/parent.h"

#include "relay/bridge.h"
#include "relay/door.h"
#include "relay/give.h"
#include "relay/hand_over.h"
#include "relay/relay.h"
#include "relay/retire.h"
#include "relay/session.h"
#include "wire/inherit.h"
#include "wire/message.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/syslog.h>
#include <unistd.h>

enum {
	ORPHAN_DEFAULT_MS = 10000, /* without a plan */
	ORPHAN_GRACE_MS = 1000,    /* the steward ends an orphaned tree in order; so much later we do what we can without it */
	ORPHAN_FAREWELL_MS = 5000, /* and so long we wait for it to take note of the ends */
};

/* The supervisor watches us and our holder by these, whoever their parent is. The pids are for people. */
static void introduce(struct relay *relay, int holder)
{
	struct message_process body = {.pid = relay->birth->holder_pid};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (holder >= 0)
		message_send(INHERIT_SUPERVISOR, MESSAGE_HOLDER, &body, &holder);
	body.pid = getpid();
	if (self >= 0) {
		message_send(INHERIT_SUPERVISOR, MESSAGE_RELAY, &body, &self);
		close(self);
	}
}

static void on_supervisor_death(uv_poll_t *poll, int status, int events)
{
	struct relay *relay = poll->data;

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	relay->parent.orphan_ms = relay->now_ms;
}

/* The descriptor table is our holder's, too, and the next relay's: they all know the new one by this. */
static void take(struct relay *relay, int pidfd)
{
	struct parent *parent = &relay->parent;
	int holder = (int)syscall(SYS_pidfd_open, relay->birth->holder_pid, 0);

	/* Out of the loop before its number becomes another file: others have the old one open, too. */
	uv_poll_stop(&parent->death);
	if (dup2(pidfd, INHERIT_PARENT) >= 0) {
		if (!parent->ended) /* too late: what is drained is ended, and the pair begins anew */
			parent->orphan_ms = 0;
		uv_poll_start(&parent->death, UV_READABLE, on_supervisor_death);
	}
	introduce(relay, holder);
	if (holder >= 0)
		close(holder);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct relay *relay = poll->data;
	struct message message;
	int r = status < 0 ? status : 1;

	(void)events;
	while (r == 1) {
		r = message_receive(INHERIT_SUPERVISOR, &message,
			message_bit(MESSAGE_SUPERVISOR) | message_bit(MESSAGE_HAND_OVER) | message_bit(MESSAGE_RETIRE) |
				message_bit(MESSAGE_BRIDGE) | message_bit(MESSAGE_GIVE));
		if (r == 1 && message.header.kind == MESSAGE_HAND_OVER)
			hand_over_asked(relay, &message);
		else if (r == 1 && message.header.kind == MESSAGE_RETIRE)
			retire_told(relay, message.body.retire.retires);
		else if (r == 1 && message.header.kind == MESSAGE_BRIDGE)
			bridge_told(relay, &message);
		else if (r == 1 && message.header.kind == MESSAGE_GIVE)
			give_told(relay, message.body.give.to);
		else if (r == 1)
			take(relay, message.fds[0]);
		else if (r == -EBADMSG)
			r = 1; /* of a newer supervisor, who can do without it */
		message_close_fds(&message);
	}
	if (r < 0)
		uv_poll_stop(poll); /* nobody can take us up any more */
}

static int watch(struct relay *relay, uv_poll_t *poll, int fd, uv_poll_cb on_event)
{
	int r = uv_poll_init(&relay->loop, poll, fd);

	poll->data = relay;
	return r < 0 ? r : uv_poll_start(poll, UV_READABLE, on_event);
}

int parent_start(struct relay *relay, int holder)
{
	int r;

	introduce(relay, holder);
	r = watch(relay, &relay->parent.death, INHERIT_PARENT, on_supervisor_death);
	return r < 0 ? r : watch(relay, &relay->parent.channel, INHERIT_SUPERVISOR, on_channel);
}

static bool only_waits_for_steward(const struct relay *relay)
{
	for (uint32_t i = 0; i < atomic_load(&relay->header->high_water); i++) {
		enum slot_state state = slot_state(&relay->ledger.slots[i]);

		if (state != SLOT_FREE && state != SLOT_RELEASING && state != SLOT_GONE)
			return false;
	}
	return true;
}

bool parent_orphan_is_done(struct relay *relay)
{
	uint64_t alone_ms = relay->parent.orphan_ms ? relay->now_ms - relay->parent.orphan_ms : 0, timeout_ms = ORPHAN_DEFAULT_MS;

	if (!relay->parent.orphan_ms)
		return false;
	if (relay->plan.header)
		timeout_ms = relay->plan.header->orphan_timeout_ms;
	timeout_ms += ORPHAN_GRACE_MS;
	if (alone_ms > timeout_ms && !relay->parent.ended) {
		const struct reason reason = {.who = WHO_SYSTEM, .how = HOW_SHUTDOWN};

		relay->parent.ended = true;
		doors_drain(relay);
		session_end_all_by_us(relay, &reason, false);
	}
	if (!relay->header->draining || relay->vacancies.live == 0)
		return relay->header->draining;
	return alone_ms > timeout_ms + ORPHAN_FAREWELL_MS && only_waits_for_steward(relay);
}
