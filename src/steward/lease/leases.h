/* Leases: what a session holds while it lives, and the promise of exactly one release for every acquire.
 *
 * A lease is a row in the store (store.h) from before its acquire hook may run until after its release hook has succeeded.
 *
 * Its states and moves are in life_table.h.
 *
 * The roster (roster.h) says what relays ask; this answers through the callbacks below, from the loop, never from within the
 * call. One struct leases a steward; it lives on the loop's thread and ends by leases_stop, then leases_free. */
#ifndef STEWARD_LEASE_LEASES_H
#define STEWARD_LEASE_LEASES_H
#include "steward/config/config.h"
#include "wire/ledger.h"
#include "wire/message.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct leases;

/* Which session: where it lives and who it is. */
struct session_key {
	uint32_t relay, incarnation, slot;
	uint64_t id;
};

struct lease_callbacks {
	/* Answer to leases_acquire, once. GO with the fence (0 where the service goes on without) and the route that the hook
	 * named, or REFUSE with the reason. */
	void (*on_verdict)(void *context, const struct session_key *key, const struct message_verdict *verdict);
	/* Answer to leases_end and leases_moved: that this session is over, or elsewhere, is durable (or it had no lease), its
	 * slot may be freed. */
	void (*on_end_durable)(void *context, const struct session_key *key);
	/* A hook of this session has failed, and the session shall end. */
	void (*on_end_session)(void *context, const struct session_key *key, const struct reason *reason);
	/* Nothing runs and nothing is due: what leases_stop waits for. */
	void (*on_stopped)(void *context);
	/* Its acquire said that what it takes is busy. True: whoever holds is asked whether he lives; the session waits, and
	 * leases_acquire_again or leases_refuse_busy follows. NULL: it is refused. From within other calls: call nothing back. */
	bool (*on_busy)(void *context, const struct session_key *key, const struct session_record *record);
	/* What a session of that service held has been given back. NULL, or as on_busy. */
	void (*on_given_back)(void *context, const char *service);
	/* Of leases_recover: what a predecessor's hooks had left has ended, and nothing else has begun. NULL: not of interest. */
	void (*on_quiet)(void *context);
};

/* state_directory/leases.db is opened (and made); a corrupt one is set aside. tree: of this tree, from BEGIN.
 * 0 or -errno with `error` telling people why. */
int leases_new(struct leases **ret, uv_loop_t *loop, const char *state_directory, uint64_t tree,
	const struct lease_callbacks *callbacks, void *context, char error[MESSAGE_TEXT_SIZE]);

/* Every session that stands in a ledger and is not free, whatever its state; visit copies what it needs. */
typedef void (*lease_each_live)(
	void *context, void (*visit)(void *visitor, const struct session_key *key, const struct slot *slot), void *visitor);

/* Ends the process groups of a predecessor's hooks (SIGTERM, then SIGKILL), and waits for them; then judges what it left. After
 * every ledger of the tree is at hand and after leases_configure, before any other call. `lives` says whether that session still
 * stands in a ledger (its slot copied to ret if so): what is held by no session is then released with TCPWARDEN_RECOVERED=1; what
 * was being acquired is unknown and is released as such, and a client that still waits is served anew when it is asked for again.
 * each_live (or NULL): sessions with a fence of which the store knows nothing, as after its loss, are put back. on_done: once,
 * later, from the loop. */
void leases_recover(struct leases *leases, bool (*lives)(void *context, const struct session_key *key, struct slot *ret),
	lease_each_live each_live, void (*on_done)(void *context));

/* Now and then, after on_done of leases_recover: looks at a part of the leases, and after LEASE_CHECK_CALLS calls at all. What is
 * held by no session that stands in a ledger is released with TCPWARDEN_RECOVERED=1. A relay that keeps its word tells each end,
 * and so does its successor; this is for the ledger that was damaged, by a fault of ours or by whoever took the relay. */
enum { LEASE_CHECK_CALLS = 32 };
void leases_check(struct leases *leases);

/* Its slot is another session's now, and nobody has said that it is over, or will: what it holds is given back. So a relay has no more
 * leases at a time than slots, whatever it says; those that are being given back aside, which clients that come and go have, too. */
void leases_missed(struct leases *leases, const struct session_key *key);

/* The config in force; kept by reference until the next call. Running leases keep the release command they were acquired
 * under. */
void leases_configure(struct leases *leases, const struct config *config);

/* The session waits for a lease. Asked twice, it is answered by what is already known or under way. client and local come from
 * the socket itself. */
void leases_acquire(
	struct leases *leases, const struct session_key *key, const char *service, const struct session_record *record);

/* Its backend is connected; may be said more than once. */
void leases_connected(struct leases *leases, const struct session_key *key, const struct session_record *record);

/* After on_busy. Again: with a lease of its own, and then busy is refused. Refused: unless on_error lets it go on without. */
void leases_acquire_again(struct leases *leases, const struct session_key *key, const struct session_record *record);
void leases_refuse_busy(struct leases *leases, const struct session_key *key, const struct session_record *record);

/* How many that sessions of this service held are being given back; those that wait for their next try do not count. */
uint32_t leases_giving_back(const struct leases *leases, const char *service);

/* The session is another relay's now. on_end_durable follows for `from`, once that is on disk. */
void leases_moved(struct leases *leases, const struct session_key *from, const struct session_key *to);

/* The session is over; record says how. No verdict is given any more; an acquire that runs is left to finish, and what it takes
 * is released. recovered: no relay said so, its processes are gone. */
void leases_end(struct leases *leases, const struct session_key *key, const struct session_record *record, bool recovered);

/* No new hooks but releases; calls on_stopped when all that can be released has been. What failed stays in the store for the next
 * start. */
void leases_stop(struct leases *leases);

/* Its handles close in the loop's next turns, and what is left of it is freed then. Hooks that run go on alone, as after our
 * death. */
void leases_free(struct leases *leases);

/* Whether any that is in the store is to run a hook as another user. */
bool leases_name_users(const struct leases *leases);

/* It waits for its turn to run its acquire hook, or for that of an earlier lease to be given back. */
bool leases_is_queued(struct leases *leases, const struct session_key *key);

/* For `leases` and `status` of the control socket. */
struct lease_counts {
	uint64_t acquiring, held, releasing;
	uint64_t failed; /* of which release has failed LEASE_FAILED_AFTER times or more; tried on */
};
enum { LEASE_FAILED_AFTER = 10 };
struct lease_counts leases_counts(const struct leases *leases);

/* Which leases are asked for. */
struct lease_query {
	char service[SERVICE_NAME_SIZE]; /* "": any */
	char client[ENDPOINT_TEXT];      /* its address alone, as endpoint_format_host makes it; "": any */
	uint32_t most;                   /* of the history */
};

/* A part of those that there are, each as a new reference (NULL: out of memory); false: that was all. *cursor begins at 0. What
 * comes or goes between two calls may be left out, but none comes twice. */
bool leases_walk(const struct leases *leases, const struct lease_query *query, uint32_t *cursor,
	void (*visit)(void *context, json_t *lease), void *context);

/* Those that are gone: as store_ask. */
struct store_question;
void leases_ask_history(struct leases *leases, struct store_question *question);

/* Tries now to release what failed to be. 0; -ENOENT: there is no such lease; -EBUSY: its session lives; -EALREADY: that is under
 * way; -ESHUTDOWN. */
int leases_release_now(struct leases *leases, uint64_t fence);

/* The text of a lease's id: its fence in hexadecimal. */
void lease_format(uint64_t fence, char text[24]);

#endif
