#include "relay/settle.h"

#include "relay/books.h"
#include "relay/flow.h"
#include "relay/socket.h"

#include <errno.h>

/* With a unix socket on one side, the books of the other side alone say how many bytes went through. */
static void count_moved(struct slot *slot, enum side from, int64_t queued)
{
	enum side to = other_side(from);
	struct books books;

	if (session_books(slot, to, &books) == 0)
		atomic_store_explicit(&slot->moved[from], (uint64_t)(books.given - slot->given_base[to]), memory_order_relaxed);
	else if (session_books(slot, from, &books) == 0)
		atomic_store_explicit(&slot->moved[from], (uint64_t)(books.taken - queued), memory_order_relaxed);
}

/* A predecessor died in past_mark: the pipe, empty before, tells whether the bytes are in it and must leave the source. */
static void settle_past_mark(struct slot *slot, enum side from, int64_t queued)
{
	struct books books;

	if (slot->past_mark[from] && queued > 0 && session_books(slot, from, &books) == 0 && slot->past_mark[from] > books.taken)
		socket_drop(slot->fd[from], (size_t)(slot->past_mark[from] - books.taken));
	slot->past_mark[from] = 0;
}

int settle_flow(struct relay *relay, struct session *session, enum side from)
{
	struct slot *slot = session_slot(relay, session);
	enum side to = other_side(from);
	struct books source, target;
	int64_t given, over, queued = pipes_queued(&relay->pipes, slot->pipe[from]);

	session->in_pipe[from] = (uint32_t)queued;
	if (flow_is_cut(slot->flow[from]) || slot->fd[from] < 0 || slot->fd[to] < 0)
		return 0;
	if (flow_is_bookless(slot)) {
		settle_past_mark(slot, from, queued);
		count_moved(slot, from, queued);
		return 0;
	}
	if (session_books(slot, from, &source) < 0 || session_books(slot, to, &target) < 0)
		return 0;
	given = target.given - slot->given_base[to];
	atomic_store_explicit(&slot->moved[from], (uint64_t)(given > 0 ? given : 0), memory_order_relaxed);
	over = given + queued - source.taken;
	if (over > 0)
		socket_drop(slot->fd[from], (size_t)over);
	/* In CLOSE the target takes nothing more, and a FIN may or may not be among what it was given. */
	return over < 0 && target.state != 7 ? -EIO : 0;
}
