#include "steward/control/waits.h"

#include "base/duration.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	MOVING_MS = 1000,      /* bytes moved so lately: it waits for nothing */
	SILENT_MS = 1000,      /* an answer may take so long, however near the peer */
	STOPPED_MS = 3000,     /* a reader that took nothing for so long is no slow one */
	PROBES_UNANSWERED = 2, /* the newest may have been sent just now */
};

const char *waits_side_word(enum side side)
{
	return side == SIDE_CLIENT ? "client" : "backend";
}

/* A relay's clock may be ahead of what we read a moment before. */
static uint64_t age_ms(const struct waits_situation *w, uint64_t then_ms)
{
	return w->now_ms > then_ms ? w->now_ms - then_ms : 0;
}

static uint64_t shorter(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t outstanding_bytes(const struct tcp_facts *f)
{
	return f ? (uint64_t)f->unacked_bytes + f->unsent_bytes : 0;
}

/* Asked by retransmissions or window probes, it says nothing. */
static bool is_silent(const struct tcp_facts *f)
{
	return f && (outstanding_bytes(f) || f->end_unacked) && (f->retransmits || f->probes >= PROBES_UNANSWERED) &&
	       tcp_facts_heard_ms(f) >= SILENT_MS;
}

static bool is_window_closed(const struct tcp_facts *f)
{
	uint32_t room = f->window > f->unacked_bytes ? f->window - f->unacked_bytes : 0;

	if (!f->unsent_bytes)
		return f->unacked_bytes && !f->window;
	return room < shorter(f->unsent_bytes, f->mss);
}

/* How long that side's peer has acknowledged nothing more. What the ledger says may be of an earlier time when bytes were
 * outstanding; and bytes were given to the network no later than it stopped to take them. */
static uint64_t no_progress_ms(const struct waits_situation *w, enum side s)
{
	uint64_t progress_ms = atomic_load(&w->slot->progress_ms[s]), ms = UINT64_MAX;

	if (progress_ms)
		ms = age_ms(w, progress_ms);
	if (w->tcp[s])
		ms = shorter(ms, w->tcp[s]->last_sent_ms);
	return ms;
}

/* Since when no byte has come or gone, either way. */
static uint64_t quiet_ms(const struct waits_situation *w)
{
	uint64_t ms = age_ms(w, w->slot->record.connected_ms);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		uint64_t moved_ms = atomic_load(&w->slot->moved_ms[s]);

		if (moved_ms)
			ms = shorter(ms, age_ms(w, moved_ms));
		if (w->tcp[s])
			ms = shorter(ms, w->tcp[s]->last_data_ms);
	}
	return ms;
}

/* Of keepalive, while nothing is outstanding. */
static bool is_probe_unanswered(const struct waits_situation *w, enum side s, uint64_t *ret_ms)
{
	const struct tcp_facts *f = w->tcp[s];
	uint64_t idle_ms = (uint64_t)w->slot->policy.side[s].keepalive_idle_s * 1000, heard_ms;

	if (!f || outstanding_bytes(f) || f->end_unacked || !f->probes)
		return false;
	heard_ms = tcp_facts_heard_ms(f);
	/* While its peers are asked on demand, the first probe came sooner. */
	*ret_ms = heard_ms > idle_ms ? heard_ms - idle_ms : heard_ms;
	return *ret_ms >= SILENT_MS || f->probes >= PROBES_UNANSWERED;
}

/* Of the two sides the one that is the worse by `measure`, or -1 where neither is. */
static int worse_side(
	const struct waits_situation *w, bool (*measure)(const struct waits_situation *, enum side, uint64_t *), uint64_t *ret_ms)
{
	int worse = -1;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		uint64_t ms;

		if (!measure(w, s, &ms) || (worse >= 0 && ms <= *ret_ms))
			continue;
		worse = (int)s;
		*ret_ms = ms;
	}
	return worse;
}

static bool measure_silent(const struct waits_situation *w, enum side s, uint64_t *ret_ms)
{
	if (!is_silent(w->tcp[s]))
		return false;
	*ret_ms = tcp_facts_heard_ms(w->tcp[s]);
	return true;
}

/* It has closed its window; or, where the kernel tells nothing about it, the other side's bytes are left unread. */
static bool measure_not_reading(const struct waits_situation *w, enum side s, uint64_t *ret_ms)
{
	const struct tcp_facts *source = w->tcp[other_side(s)];
	uint64_t moved_ms = atomic_load(&w->slot->moved_ms[other_side(s)]);

	if (w->tcp[s]) {
		if (!is_window_closed(w->tcp[s]))
			return false;
		*ret_ms = no_progress_ms(w, s);
	} else {
		if (!source || !source->unread_bytes)
			return false;
		*ret_ms = age_ms(w, moved_ms ? moved_ms : w->slot->record.connected_ms);
	}
	return *ret_ms >= STOPPED_MS;
}

/* All that is known where the kernel tells nothing: a relay notes it while bytes are outstanding. */
static bool measure_no_progress(const struct waits_situation *w, enum side s, uint64_t *ret_ms)
{
	if (w->tcp[s] || !atomic_load(&w->slot->progress_ms[s]))
		return false;
	*ret_ms = no_progress_ms(w, s);
	return *ret_ms >= STOPPED_MS;
}

static void say_silent(char text[WAITS_TEXT], const struct tcp_facts *f, enum side s)
{
	char time[DURATION_TEXT];

	duration_say_passed(tcp_facts_heard_ms(f), time);
	snprintf(text, WAITS_TEXT, "no ACK from %s for %s, retry %u", waits_side_word(s), time,
		(unsigned)(f->retransmits ? f->retransmits : f->probes));
}

static void say_idle(const struct waits_situation *w, uint64_t quiet, char text[WAITS_TEXT])
{
	char idle[DURATION_TEXT], heard[DURATION_TEXT];
	uint64_t heard_ms = 0;
	bool known = false;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (!w->tcp[s])
			continue;
		known = true;
		if (tcp_facts_heard_ms(w->tcp[s]) > heard_ms)
			heard_ms = tcp_facts_heard_ms(w->tcp[s]);
	}
	duration_say_passed(quiet, idle);
	duration_say_passed(heard_ms, heard);
	if (known)
		snprintf(text, WAITS_TEXT, "idle %s, last proof of life %s ago", idle, heard);
	else
		snprintf(text, WAITS_TEXT, "no bytes for %s", idle);
}

static void say_relaying(const struct waits_situation *w, char text[WAITS_TEXT])
{
	const struct slot *slot = w->slot;
	char time[DURATION_TEXT];
	uint64_t ms = 0, quiet = quiet_ms(w);
	int s;

	s = worse_side(w, measure_silent, &ms);
	if (s >= 0) {
		say_silent(text, w->tcp[s], (enum side)s);
		return;
	}
	s = worse_side(w, measure_not_reading, &ms);
	duration_say_passed(s >= 0 ? ms : quiet, time);
	if (s >= 0) {
		snprintf(text, WAITS_TEXT, "%s not reading for %s", waits_side_word((enum side)s), time);
		return;
	}
	s = worse_side(w, measure_no_progress, &ms);
	if (s >= 0) {
		duration_say_passed(ms, time);
		snprintf(text, WAITS_TEXT, "%s has acknowledged nothing for %s", waits_side_word((enum side)s), time);
		return;
	}
	if (quiet < MOVING_MS) {
		snprintf(text, WAITS_TEXT, "moving");
		return;
	}
	for (enum side to = SIDE_CLIENT; to <= SIDE_BACKEND; to++)
		if (outstanding_bytes(w->tcp[to])) {
			snprintf(text, WAITS_TEXT, "%s takes bytes slowly", waits_side_word(to));
			return;
		}
	s = worse_side(w, is_probe_unanswered, &ms);
	if (s >= 0) {
		unsigned probes = w->tcp[s]->probes;

		duration_say_passed(ms, time);
		snprintf(text, WAITS_TEXT, "%s has not answered a keepalive for %s (%u probe%s)", waits_side_word((enum side)s),
			time, probes, probes == 1 ? "" : "s");
	} else if (slot->flow[SIDE_CLIENT] != FLOW_OPEN) {
		snprintf(text, WAITS_TEXT, "client has finished, waiting for the backend's answer for %s", time);
	} else if (slot->flow[SIDE_BACKEND] != FLOW_OPEN) {
		snprintf(text, WAITS_TEXT, "backend has finished, waiting for the client to finish for %s", time);
	} else {
		say_idle(w, quiet, text);
	}
}

/* Bytes that are still to be given to that side: by its socket, and from the other one. */
static uint64_t left_bytes(const struct waits_situation *w, enum side s)
{
	const struct tcp_facts *source = w->tcp[other_side(s)];

	return outstanding_bytes(w->tcp[s]) +
	       (source && w->slot->flow[other_side(s)] == FLOW_DRAINING ? source->unread_bytes : 0);
}

static void say_delivering(const struct waits_situation *w, enum side s, char text[WAITS_TEXT])
{
	uint64_t stuck_ms = no_progress_ms(w, s), linger_end_ms = slot_linger_end_ms(w->slot, s);
	char time[DURATION_TEXT], stuck[DURATION_TEXT + 32] = "", linger[DURATION_TEXT + 32] = "";

	duration_say_passed(stuck_ms, time);
	if (is_silent(w->tcp[s])) {
		duration_say_passed(tcp_facts_heard_ms(w->tcp[s]), time);
		snprintf(stuck, sizeof stuck, ", no ACK for %s", time);
	} else if (stuck_ms != UINT64_MAX && stuck_ms >= MOVING_MS) {
		snprintf(stuck, sizeof stuck, ", %s without progress", time);
	}
	/* Past it, each byte that is taken gives another linger_timeout. */
	if (linger_end_ms > w->now_ms) {
		duration_say_passed(linger_end_ms - w->now_ms, time);
		snprintf(linger, sizeof linger, " (linger_timeout in %s)", time);
	}
	snprintf(text, WAITS_TEXT, "delivering %" PRIu64 " bytes to %s%s%s", left_bytes(w, s), waits_side_word(s), stuck, linger);
}

static void say_closing(const struct waits_situation *w, char text[WAITS_TEXT])
{
	const struct slot *slot = w->slot;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0 && left_bytes(w, s)) {
			say_delivering(w, s, text);
			return;
		}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (is_silent(w->tcp[s])) {
			say_silent(text, w->tcp[s], s);
			return;
		}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (w->tcp[s] && w->tcp[s]->end_unacked) {
			snprintf(text, WAITS_TEXT, "waiting for %s to acknowledge the end", waits_side_word(s));
			return;
		}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (slot->fd[s] >= 0 && slot->ending[s] == ENDING_DELIVER) {
			snprintf(text, WAITS_TEXT, "waiting for %s to close", waits_side_word(s));
			return;
		}
	snprintf(text, WAITS_TEXT, "closing");
}

static void say_connecting(const struct waits_situation *w, char text[WAITS_TEXT])
{
	const struct slot *slot = w->slot;
	uint32_t timeout_ms = slot->policy.side[SIDE_BACKEND].connect_timeout_ms;
	char time[DURATION_TEXT];
	uint64_t began_ms = slot->deadline_ms > timeout_ms ? slot->deadline_ms - timeout_ms : w->now_ms;

	if (slot->fd[SIDE_BACKEND] < 0) {
		snprintf(text, WAITS_TEXT, "waiting for a free socket to connect with");
		return;
	}
	duration_say_passed(age_ms(w, began_ms), time);
	if (slot->tries > 1)
		snprintf(text, WAITS_TEXT, "connecting to %.150s for %s (try %u)", w->backend, time, (unsigned)slot->tries);
	else
		snprintf(text, WAITS_TEXT, "connecting to %.150s for %s", w->backend, time);
}

void waits_say(const struct waits_situation *w, char text[WAITS_TEXT])
{
	char time[DURATION_TEXT];

	switch ((enum slot_state)atomic_load(&w->slot->state)) {
	case SLOT_REFUSING:
		snprintf(text, WAITS_TEXT, "refusing");
		return;
	case SLOT_WAITING:
		duration_say_passed(age_ms(w, w->slot->record.started_ms), time);
		snprintf(text, WAITS_TEXT, "waiting for a place %s", time);
		return;
	case SLOT_ACQUIRING:
		duration_say_passed(age_ms(w, w->slot->record.started_ms), time);
		snprintf(text, WAITS_TEXT, "waiting for acquire %s%s", time,
			w->acquire_busy     ? " (busy)"
			: w->acquire_queued ? " (queued)"
					    : "");
		return;
	case SLOT_CONNECTING:
		say_connecting(w, text);
		return;
	case SLOT_RELAYING:
		say_relaying(w, text);
		return;
	case SLOT_CLOSING:
		say_closing(w, text);
		return;
	case SLOT_RELEASING:
		snprintf(text, WAITS_TEXT, "waiting for the steward's record");
		return;
	case SLOT_LEAVING:
	case SLOT_GONE:
	case SLOT_ARRIVING:
		snprintf(text, WAITS_TEXT, "going to another relay");
		return;
	case SLOT_FREE:
	case SLOT_STATES:
		break;
	}
	snprintf(text, WAITS_TEXT, "?");
}
