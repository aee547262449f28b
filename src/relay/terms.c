#include "relay/terms.h"

#include "relay/deadline.h"
#include "relay/kill_point.h"
#include "relay/probe.h"
#include "relay/socket.h"
#include "wire/say.h"

#include <string.h>
#include <sys/syslog.h>

static void set_sockets(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	bool asked = slot->told & TOLD_PROBE; /* whoever asks sets keepalive and TCP_USER_TIMEOUT to the policy when it is over */

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		struct side_policy policy = slot->policy.side[s];
		int family = s == SIDE_CLIENT ? slot->record.client.family : slot->record.backend.family, r;
		const char *option = NULL;

		if (slot->fd[s] < 0 || family == AF_UNIX)
			continue;
		if (asked)
			policy.user_timeout_ms = 0;
		r = socket_tune(slot->fd[s], &policy, &option);
		if (r < 0)
			say(LOG_ERR, "service %s: cannot set %s on a session's socket: %s", slot->record.service, option,
				strerror(-r));
		/* A backend's that is still being connected gets it when it is. */
		if (s == SIDE_CLIENT || slot->record.connected_ms)
			socket_pace(slot->fd[s], &policy, relay->rto_max_ms);
		kill_point();
	}
	if (!asked)
		probe_end(relay, session);
}

void terms_apply(struct relay *relay, struct session *session, const struct policy *policy)
{
	struct slot *slot = session_slot(relay, session);
	struct policy old = slot->policy, new = *policy;

	new.hooked = old.hooked;
	if (memcmp(&old, &new, sizeof old) == 0)
		return;
	deadline_rest(relay, session);
	slot->told |= TOLD_TERMS;
	kill_point();
	slot_write_begin(slot);
	slot->policy = new;
	slot_write_end(slot);
	kill_point();
	set_sockets(relay, session);
	slot->told &= (uint8_t)~TOLD_TERMS;
	kill_point();
	if (slot_state(slot) == SLOT_RELAYING)
		deadline_renew(relay, session, &old);
}

void terms_adopt(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);

	if (!(slot->told & TOLD_TERMS))
		return;
	set_sockets(relay, session);
	slot->told &= (uint8_t)~TOLD_TERMS;
}
