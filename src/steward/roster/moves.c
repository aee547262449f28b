/* Sessions that go from relay to relay (relay/give.c). Whose one is, its giver's slot says, and keeps saying until we have on
 * disk whom its lease belongs to; so what the taker claims is believed only as far as the giver says the same. */
#include "steward/roster/pair.h"

#include <errno.h>

static struct pair *pair_of(const struct roster *roster, uint32_t relay, uint32_t incarnation)
{
	struct pair *p = relay < roster->relays ? roster->of[relay] : NULL;

	return p && p->name.incarnation == incarnation ? p : NULL;
}

static void tell(struct pair *p, uint32_t index, const struct slot *slot)
{
	struct session_key from = {p->name.relay, p->name.incarnation, index, slot->record.id},
			   to = {slot->to.relay, slot->to.incarnation, slot->to.slot, slot->record.id};
	const struct roster_host *host = p->roster->host;

	/* Its taker died with it before anyone said so. */
	if (!pair_of(p->roster, to.relay, to.incarnation)) {
		struct session_record record = slot->record;

		record.reason = (struct reason){.who = WHO_SYSTEM, .how = HOW_LOST, .state = SLOT_RELAYING};
		host->on_ended(p->roster->context, &from, &record, true);
		return;
	}
	host->on_moved(p->roster->context, &from, &to);
	/* That event may still wait in the giver's ring, under a name that means nothing any more. */
	if (slot->record.fence && slot->record.connected_ms)
		host->on_connected(p->roster->context, &to, &slot->record);
}

void pair_settle_origin(struct pair *p, uint32_t index, const struct slot *slot)
{
	struct pair *giver = slot->from.offer ? pair_of(p->roster, slot->from.relay, slot->from.incarnation) : NULL;
	struct slot there;

	if (giver && ledger_read_slot(&giver->ledger, slot->from.slot, &there) == 0 && atomic_load(&there.state) == SLOT_GONE &&
		there.record.id == slot->record.id && there.to.offer == slot->from.offer && there.to.relay == p->name.relay &&
		there.to.incarnation == p->name.incarnation && there.to.slot == index)
		tell(giver, slot->from.slot, &there);
}

/* Where it came from itself is said first. There is no more before that: what is not known to have come is not given on. */
void pair_tell_moved(struct pair *p, uint32_t index, const struct slot *slot)
{
	pair_settle_origin(p, index, slot);
	tell(p, index, slot);
}

bool pair_lists_for_other(struct pair *p, uint32_t index, const struct slot *slot)
{
	const struct pair *giver;
	struct slot there;

	switch ((enum slot_state)atomic_load(&slot->state)) {
	case SLOT_GONE:
		pair_tell_moved(p, index, slot);
		return true;
	case SLOT_ARRIVING:
		giver = pair_of(p->roster, slot->from.relay, slot->from.incarnation);
		if (giver && ledger_read_slot(&giver->ledger, slot->from.slot, &there) == 0 &&
			there.record.id == slot->record.id && there.to.offer == slot->from.offer &&
			atomic_load(&there.state) == SLOT_GONE)
			break;
		return true;
	case SLOT_FREE:
	case SLOT_REFUSING:
	case SLOT_ACQUIRING:
	case SLOT_CONNECTING:
	case SLOT_RELAYING:
	case SLOT_CLOSING:
	case SLOT_RELEASING:
	case SLOT_WAITING:
	case SLOT_LEAVING:
	case SLOT_STATES:
		break;
	}
	pair_settle_origin(p, index, slot);
	return false;
}

void roster_settle_moves(struct roster *r)
{
	for (uint32_t i = 0; i < r->relays; i++) {
		struct pair *p = r->of[i];
		struct slot slot;
		int e;

		for (uint32_t n = 0; p && (e = ledger_read_slot(&p->ledger, n, &slot)) != -ENOENT; n++) {
			if (e < 0 || atomic_load(&slot.state) == SLOT_FREE || !slot.from.offer)
				continue;
			if (pair_of(r, slot.from.relay, slot.from.incarnation))
				pair_settle_origin(p, n, &slot);
			else /* it died before it was heard; nobody else can claim what was its */
				r->host->on_moved(r->context,
					&(struct session_key){
						slot.from.relay, slot.from.incarnation, slot.from.slot, slot.record.id},
					&(struct session_key){i, p->name.incarnation, n, slot.record.id});
		}
	}
}
