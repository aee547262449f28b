#include "relay/settle.h"

#include "relay/books.h"
#include "relay/flow.h"
#include "relay/socket.h"

#include <errno.h>
#include <sys/epoll.h>

enum { ESTABLISHED = 1, CLOSE = 7 }; /* include/net/tcp_states.h */

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

static int settle_by_books(struct slot *slot, enum side from, const struct books books[SIDES], int64_t queued)
{
	const struct books *source = &books[from], *target = &books[other_side(from)];
	int64_t given = target->given - slot->given_base[other_side(from)], over = given + queued - source->taken;

	atomic_store_explicit(&slot->moved[from], (uint64_t)(given > 0 ? given : 0), memory_order_relaxed);
	if (over > 0)
		socket_drop(slot->fd[from], (size_t)over);
	/* In CLOSE the target takes nothing more, and a FIN may or may not be among what it was given. */
	return over < 0 && target->state != CLOSE ? -EIO : 0;
}

/* A socket at which nothing waits: as an event would have said that it takes bytes and has none. What comes from here on is an
 * edge. */
static uint32_t quiet(const struct books *books)
{
	return books->unread == 0 && books->state == ESTABLISHED && !books->error ? EPOLLOUT : 0;
}

/* Each socket's books are read once: what one direction drops changes no figure that the other looks at. */
int settle_session(struct relay *relay, struct session *session)
{
	struct slot *slot = session_slot(relay, session);
	struct books books[SIDES];
	bool two = slot->fd[SIDE_CLIENT] >= 0 && slot->fd[SIDE_BACKEND] >= 0, bookless = two && flow_is_bookless(slot);
	bool known = two && !bookless && session_books(slot, SIDE_CLIENT, &books[SIDE_CLIENT]) == 0 &&
		     session_books(slot, SIDE_BACKEND, &books[SIDE_BACKEND]) == 0;
	int r = 0;

	for (enum side from = SIDE_CLIENT; from <= SIDE_BACKEND; from++) {
		int64_t queued = pipes_queued(&relay->pipes, slot->pipe[from]);

		session->in_pipe[from] = (uint32_t)queued;
		session->events[from] = known ? quiet(&books[from]) : 0;
		if (flow_is_cut(slot->flow[from]))
			continue;
		if (bookless) {
			settle_past_mark(slot, from, queued);
			count_moved(slot, from, queued);
		} else if (known && settle_by_books(slot, from, books, queued) < 0) {
			r = -EIO;
		}
	}
	return r;
}
