/* The addresses that clients connect to, and which relay still has to be given a socket for them.
 *
 * A relay lists its listeners in its ledger, and they live as long as its descriptor table: what a ledger lists is never bound
 * again. Here is what the config wants, and the sockets on their way: a relay's own TCP socket until it says LISTENING, a shared
 * one (unix, systemd) for as long as its address is wanted, so that a new pair gets a copy of it. Owner: the steward's role; ends
 * by listeners_free. Nothing here blocks.
 *
 * With other `workers` a TCP socket gets another relay, since to close it would reset who waits in its queue: that of place p
 * belongs to relay p, or, where that is one too many, to p modulo workers. Who has it by now follows from the ledgers alone, so
 * any role may die at any step:
 *
 *   listed by             next
 *   x                     x is asked to LEND it
 *   x, a copy is here     LISTEN to its relay w. Should x die now: the copy keeps the queue, and goes to w
 *   x and w               UNLISTEN to x. Both accept: the queue is one. Should we die: the next steward finds this row or the first
 *   w                     nothing
 *   nobody                bound anew for a relay that is wanted (its table is gone, and the queue with it); else nothing
 *
 * A copy of a shared one is only closed where it is too many, once another relay listens there. */
#ifndef STEWARD_LISTEN_LISTENERS_H
#define STEWARD_LISTEN_LISTENERS_H
#include "steward/config/config.h"
#include "steward/plan/drains.h"
#include "steward/plan/ids.h"
#include "steward/report.h"
#include "wire/census.h"
#include "wire/ledger.h"
#include "wire/message.h"

struct listeners;

/* The ledgers by relay, as the roster has them; NULL where there is none now. */
struct ledger_view {
	const struct ledger *of[CENSUS_RELAYS];
	uint32_t relays;
};

struct listeners *listeners_new(void); /* NULL: no memory */
void listeners_free(struct listeners *listeners);

/* A socket that systemd gave us; it is ours from now on. Of two with one name the later is taken. */
void listeners_inherit(struct listeners *listeners, const char *name, int fd);

/* Binds what `config` wants, but for drained services, and no ledger lists; every failure is a line of *report. 0, or -errno and nothing has changed.
 * lazy: binds nothing yet; listeners_next does, and what fails is tried again. */
int listeners_prepare(struct listeners *listeners, const struct config *config, const struct drains *drains,
	struct plan_ids *ids, const struct ledger_view *view, bool lazy, struct report *report);
void listeners_commit(struct listeners *listeners); /* what was prepared is wanted from now on */
void listeners_abort(struct listeners *listeners);  /* and is closed again */

/* The next step that a relay's ledger lacks. */
enum listener_step { LISTENER_NOTHING, LISTENER_OPEN, LISTENER_SHUT, LISTENER_LEND };
struct listener_order {
	enum listener_step step;
	struct message_place which;
	uint32_t shared;
	int entry; /* LISTENER_SHUT: of the ledger */
	int fd;    /* LISTENER_OPEN: stays ours */
	const char *address;
};

/* Fills *ret with a step of that kind, or with LISTENER_NOTHING. A socket that cannot be bound now is logged and left out until
 * listeners_retry. Call listeners_told when it was said. */
void listeners_next(struct listeners *listeners, const struct ledger_view *view, uint32_t relay, enum listener_step step,
	struct listener_order *ret);
void listeners_told(struct listeners *listeners, uint32_t relay, const struct listener_order *order);

/* The relay said LISTENING. The listener's address, or NULL if there is no such, or it was not asked for it. */
const char *listeners_answered(struct listeners *listeners, uint32_t relay, const struct message_place *which, int error);

/* The relay said LENT; takes fd, whatever comes of it. False: it is no such listener. */
bool listeners_lent(struct listeners *listeners, uint32_t relay, const struct message_place *which, int fd);

/* The relay started anew, or there is a new one: what it was told counts no more. */
void listeners_forget(struct listeners *listeners, uint32_t relay);

/* What could not be bound, opened or lent is tried again by the next listeners_next. */
void listeners_retry(struct listeners *listeners);

/* True if the relay has answered for all that is wanted of it, and has nothing that another is to have; failed: how many it could
 * not open. */
bool listeners_settled(const struct listeners *listeners, const struct ledger_view *view, uint32_t relay, uint32_t *ret_failed);

size_t listeners_count(const struct listeners *listeners);

/* The text of what a session's local end is where an endpoint cannot say it (unix). NULL: no such listener. */
const char *listeners_address(const struct listeners *listeners, uint32_t id);

/* Socket files are removed and our copies closed: nothing is accepted any more. */
void listeners_stop(struct listeners *listeners);

#endif
