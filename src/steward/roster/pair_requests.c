/* What a relay asks, checked against its ledger. A number out of range or a claim against its own slot is a violation; a slot
 * that has moved on is not: messages wait in a queue, and may be said twice. */
#include "steward/roster/pair.h"

#include "steward/log/log.h"
#include "steward/roster/client_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

/* 1: the slot holds that session, copied to *ret; 0: not now; -1: no such slot can be. */
static int claimed_slot(const struct pair *p, const struct message_session *claim, bool may_have_come, struct slot *ret)
{
	int r;

	if (claim->slot >= p->ledger.slot_count)
		return -1;
	r = ledger_read_slot(&p->ledger, claim->slot, ret);
	if (r == -ENOENT)
		return -1;
	/* Who names a session of another relay must have it from there; whether it was given, that one's ledger says. It may have
	 * left that slot since. */
	if ((claim->id & (LEDGER_RELAYS - 1)) != p->name.relay &&
		(!may_have_come || !p->ledger.header->arrivals || (r == 0 && ret->record.id == claim->id && !ret->from.offer)))
		return -1;
	/* Being written: its relay died in that, and will ask again when it has put it right. */
	return r == 0 && ret->record.id == claim->id;
}

static void refuse(struct pair *p, const struct session_key *key, struct reason reason)
{
	struct message_verdict verdict = {.id = key->id, .slot = key->slot, .verdict = VERDICT_REFUSE, .reason = reason};

	roster_verdict(p->roster, key, &verdict);
}

/* A relay says that a session is over before another has its slot, unless it is not one of ours any more, or its ledger was
 * damaged. */
static void note_asked(struct pair *p, const struct session_key *key)
{
	uint64_t *asked = &p->asked[key->slot];
	struct session_key former = pair_key(p, *asked, key->slot);

	if (*asked && *asked != key->id)
		p->roster->host->on_missed(p->roster->context, &former);
	*asked = key->id;
}

static bool handle_acquire(struct pair *p, const struct message_session *claim, int client)
{
	struct session_key key = pair_key(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, false, &slot);

	if (r < 0)
		return false;
	if (r == 0 || atomic_load(&slot.state) != SLOT_ACQUIRING)
		return true;
	r = client_socket_name(client, &slot.record.client, &slot.record.local);
	if (r == -EPROTOTYPE)
		return false;
	if (r < 0) {
		refuse(p, &key,
			(struct reason){.who = WHO_CLIENT,
				.how = HOW_RESET,
				.operation = OPERATION_ACCEPT,
				.state = SLOT_ACQUIRING,
				.error = ECONNRESET});
		return true;
	}
	note_asked(p, &key);
	p->roster->host->on_acquire(p->roster->context, &key, &slot.record);
	return true;
}

static bool handle_full(struct pair *p, const struct message_session *claim)
{
	struct session_key key = pair_key(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, false, &slot);

	if (r < 0)
		return false;
	if (r > 0 && atomic_load(&slot.state) == SLOT_WAITING)
		p->roster->host->on_full(p->roster->context, &key, &slot);
	return true;
}

/* Of a round that is over, or of a predecessor's, it is no more than late. */
static bool handle_reclaimed(struct pair *p, const struct message_reclaimed *reclaimed)
{
	if (reclaimed->asked > p->ledger.slot_count || reclaimed->left > reclaimed->asked || reclaimed->silent > reclaimed->asked)
		return false;
	p->roster->host->on_reclaimed(p->roster->context, p->name.relay, reclaimed);
	return true;
}

static bool handle_moved(struct pair *p, const struct message_session *claim)
{
	struct slot slot;
	int r = claimed_slot(p, claim, true, &slot);

	if (r < 0)
		return false;
	if (r == 0 || atomic_load(&slot.state) != SLOT_GONE)
		return true;
	if (p->asked[claim->slot] == claim->id)
		p->asked[claim->slot] = 0;
	pair_tell_moved(p, claim->slot, &slot);
	return true;
}

static bool handle_ended(struct pair *p, const struct message_session *claim)
{
	struct session_key key = pair_key(p, claim->id, claim->slot);
	struct slot slot;
	int r = claimed_slot(p, claim, true, &slot);

	if (r < 0)
		return false;
	if (r == 0 || atomic_load(&slot.state) == SLOT_FREE)
		return true;
	if (atomic_load(&slot.state) != SLOT_RELEASING)
		return false;
	if (p->asked[claim->slot] == claim->id)
		p->asked[claim->slot] = 0;
	pair_settle_origin(p, claim->slot, &slot);
	p->roster->host->on_ended(p->roster->context, &key, &slot.record, false);
	return true;
}

static void handle_hello(struct pair *p, const struct message_hello *hello)
{
	log_line(LOG_INFO, "relay %u runs (start %" PRIu32 " of it)", p->name.relay, hello->starts);
	p->plan_taken = hello->generation;
	p->plan_due = hello->generation != p->roster->generation;
	p->drain_due = p->roster->draining;
	p->kill_due = p->roster->killing;
	listeners_forget(p->roster->listeners, p->name.relay);
	p->roster->host->on_progress(p->roster->context);
	p->roster->host->on_relay_began(p->roster->context, p->name.relay);
}

/* What it says is that listener goes on to another relay, whose clients come by it. */
static bool handle_lent(struct pair *p, struct message *m)
{
	int fd = m->fds[0];

	m->fds[0] = -1;
	if (!listeners_lent(p->roster->listeners, p->name.relay, &m->body.place, fd))
		return false;
	roster_push(p->roster);
	return true;
}

/* Which backend, in words that the resolver knows: its id is only ours and the relay's. */
static bool handle_resolve(struct pair *p, const struct message_session *claim)
{
	const struct plan *plan = &p->roster->plan;

	for (uint32_t i = 0; plan->header && i < plan->header->backend_count; i++)
		if (plan->backends[i].id == claim->backend_id)
			p->roster->host->on_resolve(p->roster->context, plan->backends[i].address);
	return true;
}

bool pair_handle(struct pair *p, struct message *m)
{
	switch ((enum message_kind)m->header.kind) {
	case MESSAGE_RELAY_HELLO:
		handle_hello(p, &m->body.hello);
		return true;
	case MESSAGE_PLAN_TAKEN:
		p->plan_taken = m->body.generation.generation;
		p->roster->host->on_progress(p->roster->context);
		return true;
	case MESSAGE_LISTENING:
		listeners_answered(p->roster->listeners, p->name.relay, &m->body.listening.which, m->body.listening.error);
		p->roster->host->on_progress(p->roster->context);
		return true;
	case MESSAGE_LENT:
		return handle_lent(p, m);
	case MESSAGE_ACQUIRE:
		return handle_acquire(p, &m->body.session, m->fds[0]);
	case MESSAGE_ENDED:
		return handle_ended(p, &m->body.session);
	case MESSAGE_MOVED:
		return handle_moved(p, &m->body.session);
	case MESSAGE_EVENTS:
		return true; /* they are taken after every turn of hearing */
	case MESSAGE_RESOLVE:
		return handle_resolve(p, &m->body.session);
	case MESSAGE_FULL:
		return handle_full(p, &m->body.session);
	case MESSAGE_RECLAIMED:
		return handle_reclaimed(p, &m->body.reclaimed);
	case MESSAGE_NONE:
	case MESSAGE_SETTINGS:
	case MESSAGE_ACCEPTED:
	case MESSAGE_READY:
	case MESSAGE_RELOADED:
	case MESSAGE_RELOADING:
	case MESSAGE_STATUS:
	case MESSAGE_REPLACE:
	case MESSAGE_STOPPED:
	case MESSAGE_UPGRADE:
	case MESSAGE_BEGIN:
	case MESSAGE_RESUME:
	case MESSAGE_INHERITED:
	case MESSAGE_PAIR:
	case MESSAGE_PAIR_LOST:
	case MESSAGE_RELOAD:
	case MESSAGE_STOP:
	case MESSAGE_UPGRADE_STATE:
	case MESSAGE_SUPERVISOR:
	case MESSAGE_HOLDER:
	case MESSAGE_RELAY:
	case MESSAGE_HAND_OVER:
	case MESSAGE_STEWARD_HELLO:
	case MESSAGE_PLAN:
	case MESSAGE_LISTEN:
	case MESSAGE_UNLISTEN:
	case MESSAGE_VERDICT:
	case MESSAGE_END_DURABLE:
	case MESSAGE_EVENTS_TAKEN:
	case MESSAGE_KILL:
	case MESSAGE_KILL_ALL:
	case MESSAGE_PROBE:
	case MESSAGE_RECLAIM:
	case MESSAGE_ROOM:
	case MESSAGE_DRAIN:
	case MESSAGE_WORKERS:
	case MESSAGE_LEND:
	case MESSAGE_RETIRE:
	case MESSAGE_PAIRS:
	case MESSAGE_BRIDGE:
	case MESSAGE_GIVE:
	case MESSAGE_KINDS:
		break;
	}
	return false;
}
