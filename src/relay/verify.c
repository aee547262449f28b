#include "relay/verify.h"

#include "base/clock.h"
#include "relay/own.h"
#include "relay/slot.h"
#include "relay/table.h"
#include "wire/inherit.h"
#include "wire/say.h"
#include "wire/slot_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <unistd.h>

/* Who lists which number: NOBODY, the header (listeners and pipes), or slot n as n. */
enum { NOBODY = UINT32_MAX, HEADER = UINT32_MAX - 1, ID_BITS = 58 };

struct claim {
	uint32_t by;
	uint32_t listed; /* how often by slots, whatever else may be wrong with these */
};

struct claims {
	const struct table *table;
	struct claim *of; /* by number, as many as the table has */
	struct claim pipes[LEDGER_PIPES];
};

int verify_header(struct ledger *ledger, uint32_t index)
{
	struct ledger_header *header = ledger->header;

	if (header->relay != index)
		return -EUCLEAN;
	if (atomic_load(&header->high_water) > ledger->slot_count)
		atomic_store(&header->high_water, ledger->slot_count);
	if (header->draining > 1) /* the steward says it again, if it was so */
		header->draining = 0;
	return 0;
}

/* Nothing of such a session is told to the steward before it is adopted. */
static bool is_asked_later(const struct slot *slot)
{
	return slot_state(slot) == SLOT_RELAYING || slot_state(slot) == SLOT_CLOSING;
}

/* NOBODY: it is now whose it was said to be; else whose it is. */
static uint32_t claim(struct claims *claims, int fd, uint32_t who)
{
	if (fd < HOLDER_INHERITED_END || !table_is(claims->table, fd, TABLE_OPEN))
		return HEADER;
	if (claims->of[fd].by != NOBODY)
		return claims->of[fd].by;
	claims->of[fd].by = who;
	return NOBODY;
}

/* What the slot does not say yet is no reason for doubt. */
static bool is_same(const struct sockaddr_storage *named, const struct endpoint *listed)
{
	struct endpoint is;

	endpoint_from_sockaddr(&is, named);
	return listed->family == AF_UNSPEC ||
	       (is.family == listed->family &&
		       (is.family == AF_UNIX || (is.port == listed->port && memcmp(is.ip, listed->ip, sizeof is.ip) == 0)));
}

static bool is_listener(const struct ledger_listener *l)
{
	struct sockaddr_storage named = {0};
	const struct sockaddr_un *un = (const struct sockaddr_un *)&named;
	socklen_t length = sizeof named, size = sizeof(int);
	int listens = 0;

	if (l->local.family == AF_UNSPEC || getsockname(l->fd, (struct sockaddr *)&named, &length) < 0 ||
		getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return false;
	if (!listens && atomic_load_explicit(&l->state, memory_order_relaxed) == LISTENER_LISTENING)
		return false;
	if (named.ss_family == AF_UNIX && strncmp(l->address, "unix:", strlen("unix:")) == 0 &&
		strncmp(l->address + strlen("unix:"), un->sun_path, sizeof un->sun_path) != 0)
		return false;
	return is_same(&named, &l->local);
}

static void verify_listeners(struct relay *relay, struct claims *claims)
{
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *l = &relay->header->listeners[i];
		uint32_t state = atomic_load_explicit(&l->state, memory_order_relaxed);

		if (state == LISTENER_FREE)
			continue;
		l->address[sizeof l->address - 1] = '\0';
		if (state <= LISTENER_LISTENING && is_listener(l) && claim(claims, l->fd, HEADER) == NOBODY)
			continue;
		if (l->fd != -1) /* else it was being closed */
			say(LOG_CRIT, "listener %d in the ledger cannot be right; it is dropped, and asked for again", i);
		atomic_store_explicit(&l->state, LISTENER_FREE, memory_order_relaxed);
		l->fd = -1;
	}
}

/* mode: O_RDONLY or O_WRONLY. */
static bool is_end_of_pipe(int fd, int mode, ino_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) != mode)
		return false;
	*ret = st.st_ino;
	return true;
}

/* One end may be there and the other not: a predecessor died between the two. Two that are there are ends of one pipe; otherwise
 * one of them may well be another's. */
static bool is_pipe(const struct ledger_pipe *p)
{
	ino_t inode[2] = {0};

	for (int end = 0; end < 2; end++)
		if (p->fd[end] != -1 && !is_end_of_pipe(p->fd[end], end == 0 ? O_RDONLY : O_WRONLY, &inode[end]))
			return false;
	return p->fd[0] == -1 || p->fd[1] == -1 || inode[0] == inode[1];
}

static void verify_pipes(struct relay *relay, struct claims *claims)
{
	for (int i = 0; i < LEDGER_PIPES; i++) {
		struct ledger_pipe *p = &relay->header->pipes[i];
		bool right = is_pipe(p);

		if (!right)
			say(LOG_CRIT, "pipe %d in the ledger cannot be right; it is dropped", i);
		for (int end = 0; end < 2; end++)
			if (p->fd[end] != -1 && (!right || claim(claims, p->fd[end], HEADER) != NOBODY))
				p->fd[end] = -1;
	}
}

/* Whether they are of use is seen when they are opened. */
static void verify_bridges(struct relay *relay, struct claims *claims)
{
	for (int i = 0; i < LEDGER_RELAYS; i++) {
		struct ledger_bridge *b = &relay->header->bridges[i];

		if ((b->channel == -1 || claim(claims, b->channel, HEADER) == NOBODY) &&
			(b->ledger == -1 || claim(claims, b->ledger, HEADER) == NOBODY))
			continue;
		say(LOG_CRIT, "the bridge to relay %d in the ledger cannot be right; it is dropped", i);
		b->number = 0;
		b->channel = b->ledger = -1;
	}
}

/* A socket that is not connected yet, or not any more, names no peer. Backends have one address in many sessions, our ends do
 * not. */
static bool is_between(int fd, const struct endpoint *peer, const struct endpoint *own)
{
	struct sockaddr_storage named = {0};
	socklen_t length = sizeof named;

	if (getpeername(fd, (struct sockaddr *)&named, &length) < 0)
		return errno == ENOTCONN;
	if (!is_same(&named, peer))
		return false;
	length = sizeof named;
	named = (struct sockaddr_storage){0};
	return !own || (getsockname(fd, (struct sockaddr *)&named, &length) == 0 && is_same(&named, own));
}

static const char *wrong_descriptor(const struct relay *relay, const struct slot *slot, enum side s)
{
	const struct session_record *record = &slot->record;
	const struct ledger_pipe *pipe = slot->pipe[s] >= 0 ? &relay->header->pipes[slot->pipe[s]] : NULL;

	if (slot->fd[s] >= 0 && (s == SIDE_CLIENT ? &record->client : &record->backend)->family == AF_UNSPEC)
		return "one of its sockets is connected with no one";
	/* Between two relays it may be unlisted already, or not yet. */
	if (pipe && (pipe->fd[0] < 0 || pipe->fd[1] < 0) && slot_state(slot) != SLOT_GONE && slot_state(slot) != SLOT_ARRIVING)
		return "one of its pipes is none";
	return NULL;
}

static const char *wrong_connection(const struct slot *slot)
{
	const struct session_record *record = &slot->record;

	if ((slot->fd[SIDE_CLIENT] >= 0 && !is_between(slot->fd[SIDE_CLIENT], &record->client, NULL)) ||
		(slot->fd[SIDE_BACKEND] >= 0 && !is_between(slot->fd[SIDE_BACKEND], &record->backend, &record->source)))
		return "one of its sockets is connected with someone else";
	return NULL;
}

const char *verify_descriptors(const struct relay *relay, const struct slot *slot)
{
	const char *wrong = wrong_connection(slot);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && !wrong; s++)
		wrong = wrong_descriptor(relay, slot, s);
	return wrong;
}

/* By more than one slot. */
static bool is_contested(const struct claims *claims, const struct slot *slot)
{
	for (int s = 0; s < SIDES; s++)
		if ((table_is(claims->table, slot->fd[s], TABLE_OPEN) && claims->of[slot->fd[s]].listed > 1) ||
			(slot->pipe[s] >= 0 && claims->pipes[slot->pipe[s]].listed > 1))
			return true;
	return false;
}

static void tell(uint32_t index, const char *wrong)
{
	say(LOG_CRIT, "slot %u of the ledger cannot be right: %s; its session is lost (system.lost), others are not touched",
		index, wrong);
}

static void drop(struct relay *relay, uint32_t index, const char *wrong)
{
	tell(index, wrong);
	atomic_store_explicit(&relay->ledger.slots[index].state, SLOT_FREE, memory_order_relaxed);
	relay->sessions[index].own.id = 0;
}

/* Two that look right and list the same: whose it is cannot be told, and to guess could give one session's bytes to the other. */
static const char *drop_rival(struct relay *relay, uint32_t rival, const char *wrong)
{
	if (rival < HEADER && slot_state(&relay->ledger.slots[rival]) != SLOT_FREE)
		drop(relay, rival, wrong);
	return wrong;
}

/* What it claims stays claimed, also if it is dropped then: that is in doubt. */
static const char *verify_slot(struct relay *relay, uint32_t index, struct claims *claims)
{
	const struct slot *slot = &relay->ledger.slots[index];
	const char *wrong = slot_wrong(slot, relay->index, relay->now_ms);

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && !wrong; s++)
		wrong = wrong_descriptor(relay, slot, s);
	/* Three system calls, which can wait: until it is adopted nothing is done with its sockets. But where two list one
	 * thing they tell which of the two is right. */
	if (!wrong && (!is_asked_later(slot) || is_contested(claims, slot)))
		wrong = wrong_connection(slot);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && !wrong; s++) {
		uint32_t rival = slot->fd[s] >= 0 ? claim(claims, slot->fd[s], index) : NOBODY;

		if (rival != NOBODY)
			wrong = drop_rival(relay, rival, "one of its sockets is another's, or none");
		if (slot->pipe[s] < 0)
			continue;
		rival = claims->pipes[slot->pipe[s]].by;
		claims->pipes[slot->pipe[s]].by = index;
		if (rival != NOBODY)
			wrong = drop_rival(relay, rival, "one of its pipes is another's");
	}
	return wrong;
}

/* An id is never given twice. */
static void verify_ids(struct ledger_header *header, uint64_t highest)
{
	uint64_t next = header->id_base + atomic_load(&header->id_next);

	if (next > highest && next >= header->id_base && next >> ID_BITS == 0)
		return;
	say(LOG_CRIT, "the number of the next session in the ledger cannot be right; it is counted anew");
	next = clock_real_us();
	header->id_base = next > highest ? next : highest + 1;
	atomic_store(&header->id_next, 0);
}

static int claims_init(struct claims *claims, const struct relay *relay, const struct table *table, uint32_t high)
{
	claims->table = table;
	claims->of = malloc(table->size * sizeof *claims->of);
	if (!claims->of)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->size; i++)
		claims->of[i] = (struct claim){.by = NOBODY};
	for (uint32_t i = 0; i < LEDGER_PIPES; i++)
		claims->pipes[i] = (struct claim){.by = NOBODY};
	for (uint32_t i = 0; i < high; i++) {
		const struct slot *slot = &relay->ledger.slots[i];

		for (int s = 0; s < SIDES && slot_state(slot) != SLOT_FREE; s++) {
			if (table_is(table, slot->fd[s], TABLE_OPEN))
				claims->of[slot->fd[s]].listed++;
			if (slot->pipe[s] >= 0 && slot->pipe[s] < LEDGER_PIPES)
				claims->pipes[slot->pipe[s]].listed++;
		}
	}
	return 0;
}

int verify_ledger(struct relay *relay, const struct table *table)
{
	uint32_t high = atomic_load(&relay->header->high_water);
	uint64_t highest_id = 0;
	struct claims claims;
	int r = claims_init(&claims, relay, table, high);

	if (r < 0)
		return r;
	verify_listeners(relay, &claims);
	verify_pipes(relay, &claims);
	verify_bridges(relay, &claims);
	for (uint32_t i = 0; i < high; i++) {
		struct slot *slot = &relay->ledger.slots[i];
		const char *wrong;

		if (slot_state(slot) == SLOT_FREE)
			continue;
		wrong = verify_slot(relay, i, &claims);
		if (wrong) {
			drop(relay, i, wrong);
			continue;
		}
		own_take(&relay->sessions[i], slot);
		if (slot_is_own(slot, relay->index) && slot->record.id >> (64 - ID_BITS) > highest_id)
			highest_id = slot->record.id >> (64 - ID_BITS);
	}
	verify_ids(relay->header, highest_id);
	free(claims.of);
	return 0;
}

bool verify_session(const struct relay *relay, uint32_t index)
{
	const struct slot *slot = &relay->ledger.slots[index];
	const char *wrong = is_asked_later(slot) ? wrong_connection(slot) : NULL;

	if (wrong)
		tell(index, wrong);
	return !wrong;
}
