/* A session that goes from relay to relay takes its lease along: the key under which it is known changes, and the giver keeps its
 * slot until that is on disk, so that a later steward finds it under the one or the other. */
#include "steward/lease/set.h"

#include <stdlib.h>

struct lease_move {
	struct lease_move *next;
	struct session_key from;
};

void lease_pay_moves(struct lease *lease)
{
	for (struct lease_move *move = lease->moves; move; move = move->next)
		leases_owe_durable(lease->leases, &move->from);
	lease_forget_moves(lease);
}

void lease_forget_moves(struct lease *lease)
{
	while (lease->moves) {
		struct lease_move *next = lease->moves->next;
		free(lease->moves);
		lease->moves = next;
	}
}

void lease_moved(struct lease *lease, const struct session_key *to)
{
	struct lease_move *move = lease_must(malloc(sizeof *move));
	*move = (struct lease_move){lease->moves, lease->record.key};
	lease->moves = move;
	lease->record.key = *to;
	/* Once its row says that it is to be released, nobody looks for its session any more. */
	if (lease->phase == PHASE_HELD || lease->phase == PHASE_LOADED)
		lease_save(lease);
	else if (store_idle(&lease->item))
		lease_pay_moves(lease);
}

/* Said again before it was on disk. */
static bool is_pending(struct leases *leases, const struct session_key *from)
{
	for (struct lease *lease = leases_first_in_bucket(leases, from->id); lease; lease = lease->next_in_bucket)
		for (struct lease_move *move = lease->moves; move; move = move->next)
			if (move->from.relay == from->relay && move->from.incarnation == from->incarnation &&
				move->from.slot == from->slot && move->from.id == from->id)
				return true;
	return false;
}

void leases_moved(struct leases *leases, const struct session_key *from, const struct session_key *to)
{
	struct lease *lease = leases_find(leases, from);
	if (lease)
		lease_moved(lease, to);
	else if (!is_pending(leases, from))
		leases_owe_durable(leases, from); /* it has no lease, or that is known already */
}
