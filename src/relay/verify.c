#include "relay/verify.h"

#include "wire/inherit.h"
#include "wire/say.h"
#include "wire/slot_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syslog.h>
#include <unistd.h>

/* Who lists which number. */
struct claims {
	uint8_t *of; /* by number, 1: listed */
	uint32_t size;
	bool pipes[LEDGER_PIPES];
};

static bool claim(struct claims *claims, int fd)
{
	if (fd < HOLDER_INHERITED_END || (uint32_t)fd >= claims->size || claims->of[fd])
		return false;
	claims->of[fd] = 1;
	return true;
}

static void unclaim(struct claims *claims, int fd)
{
	claims->of[fd] = 0;
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void verify_listeners(struct relay *relay, struct claims *claims)
{
	for (int i = 0; i < LEDGER_LISTENERS; i++) {
		struct ledger_listener *l = &relay->header->listeners[i];
		uint32_t state = atomic_load_explicit(&l->state, memory_order_relaxed);

		if (state == LISTENER_FREE)
			continue;
		l->address[sizeof l->address - 1] = '\0';
		if (state <= LISTENER_LISTENING && is_socket(l->fd) && claim(claims, l->fd))
			continue;
		if (l->fd != -1) /* else it was being closed */
			say(LOG_CRIT, "listener %d in the ledger cannot be right; it is dropped, and asked for again", i);
		atomic_store_explicit(&l->state, LISTENER_FREE, memory_order_relaxed);
		l->fd = -1;
	}
}

/* One end may be there and the other not: a predecessor died between the two. */
static void verify_pipes(struct relay *relay, struct claims *claims)
{
	for (int i = 0; i < LEDGER_PIPES; i++) {
		struct ledger_pipe *p = &relay->header->pipes[i];

		for (int end = 0; end < 2; end++) {
			if (p->fd[end] == -1 || (is_pipe(p->fd[end]) && claim(claims, p->fd[end])))
				continue;
			say(LOG_CRIT, "pipe %d in the ledger cannot be right; it is dropped", i);
			p->fd[end] = -1;
		}
	}
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

	if (slot->fd[s] >= 0 && !(s == SIDE_CLIENT ? is_between(slot->fd[s], &record->client, NULL)
						   : is_between(slot->fd[s], &record->backend, &record->source)))
		return "one of its sockets is connected with someone else";
	if (pipe && (pipe->fd[0] < 0 || pipe->fd[1] < 0))
		return "one of its pipes is none";
	return NULL;
}

static const char *verify_slot(const struct relay *relay, const struct slot *slot, struct claims *claims)
{
	const char *wrong = slot_wrong(slot, relay->header, relay->now_ms);
	int claimed[SIDES] = {-1, -1};

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND && !wrong; s++) {
		wrong = wrong_descriptor(relay, slot, s);
		if (!wrong && slot->fd[s] >= 0 && !claim(claims, slot->fd[s]))
			wrong = "one of its sockets is another's, or none";
		else if (!wrong)
			claimed[s] = slot->fd[s];
		if (!wrong && slot->pipe[s] >= 0 && claims->pipes[slot->pipe[s]])
			wrong = "one of its pipes is another's";
	}
	for (int s = 0; s < SIDES; s++) {
		if (wrong && claimed[s] >= 0)
			unclaim(claims, claimed[s]);
		if (!wrong && slot->pipe[s] >= 0)
			claims->pipes[slot->pipe[s]] = true;
	}
	return wrong;
}

int verify_ledger(struct relay *relay)
{
	struct claims claims = {.size = (uint32_t)sysconf(_SC_OPEN_MAX)};
	uint32_t high = atomic_load(&relay->header->high_water);

	claims.of = calloc(claims.size, 1);
	if (!claims.of)
		return -ENOMEM;
	verify_listeners(relay, &claims);
	verify_pipes(relay, &claims);
	for (uint32_t i = 0; i < high; i++) {
		struct slot *slot = &relay->ledger.slots[i];
		const char *wrong;

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) == SLOT_FREE)
			continue;
		wrong = verify_slot(relay, slot, &claims);
		if (!wrong)
			continue;
		say(LOG_CRIT,
			"slot %u of the ledger cannot be right: %s; its session is lost (system.lost), others are not touched", i,
			wrong);
		atomic_store_explicit(&slot->state, SLOT_FREE, memory_order_relaxed);
	}
	free(claims.of);
	return 0;
}
