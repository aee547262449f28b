#include "cut.h"

#include "../load/tool.h"

#include <sys/socket.h>

bool cut_is_due(struct peer *p)
{
	bool now = now_ms() >= p->born_ms + p->plan.patience_ms;
	struct books b;

	if (!p->known || plan_is_orderly(p->plan.end) || p->overtaken)
		return false;
	if (p->end_ms)
		return now_ms() >= p->end_ms;
	switch (p->plan.end) {
	case END_RESET_SENT:
	case END_CLOSE:
		now |= p->sent >= peer_out_limit(p);
		break;
	case END_RESET_RECEIVED:
	case END_RESET_FROZEN:
	case END_VANISH:
		now |= p->received >= p->plan.cut;
		break;
	case END_RESET_AFTER_FIN:
		now |= p->fin;
		break;
	case END_RESET_AFTER_PEER:
		now |= p->saw == SAW_EOF;
		break;
	case END_RESET_UNREAD:
	case END_CLOSE_UNREAD:
		now |= p->received >= p->plan.cut && books_look(p->fd, p->side, p->fin, &b) == 0 && b.unread > 0;
		break;
	case END_FIN:
	case END_LATE:
	case END_COUNT:
		break;
	}
	if (now)
		p->end_ms = now_ms() + p->plan.delay_ms;
	return now && !p->plan.delay_ms;
}

void cut_now(struct peer *p, enum did did)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	if (p->did != did)
		p->did_us = now_us();
	p->did = did;
	/* What is unread makes a reset of any close. */
	if (did != DID_CLOSE_UNREAD)
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	peer_over(p);
}

/* As close(2) without anything unread, but that the books can still be read: what comes from now on is answered by a reset. */
static void close_both_ways(struct peer *p)
{
	p->did = DID_CLOSE;
	p->did_us = p->fin_us = now_us();
	p->fin = shutdown(p->fd, SHUT_RDWR) == 0;
	p->phase = PHASE_CLOSED;
}

/* Both ways at once. Its own kernel knows nothing of it. */
static void vanish(struct peer *p)
{
	books_mute(p->fd);
	p->did = DID_VANISH;
	p->did_us = now_us();
	p->end_ms = now_ms() + p->plan.settle_ms;
	p->phase = PHASE_SETTLING;
}

void cut_begin(struct peer *p)
{
	bool closes = p->plan.end == END_CLOSE || p->plan.end == END_CLOSE_UNREAD;

	p->exact = books_settle(p->fd);
	books_look(p->fd, p->side, p->fin, &p->books);
	if (p->books.state == BOOKS_CLOSE) { /* the other side came first: nothing that we do now is seen by anyone */
		books_unsettle(p->fd);
		p->overtaken = p->readable = true;
	} else if (p->plan.end == END_VANISH) {
		vanish(p);
	} else if (closes && !p->books.unread) {
		books_unsettle(p->fd);
		close_both_ways(p);
	} else if (p->plan.settle_ms) {
		p->end_ms = now_ms() + p->plan.settle_ms;
		p->phase = PHASE_SETTLING;
	} else {
		cut_now(p, closes ? DID_CLOSE_UNREAD : DID_RESET);
	}
}

void cut_when_settled(struct peer *p)
{
	if (now_ms() < p->end_ms)
		return;
	books_look(p->fd, p->side, p->fin, &p->books);
	if (p->did == DID_VANISH) {
		cut_now(p, DID_VANISH);
		return;
	}
	p->settled = p->exact;
	cut_now(p, p->plan.end == END_CLOSE || p->plan.end == END_CLOSE_UNREAD ? DID_CLOSE_UNREAD : DID_RESET);
}
