/* Reclaim before refuse: before a full service refuses a newcomer, those who hold are asked whether they live. The silent are
 * ended by their relays, what they held is given back, and who waits is tried once more.
 *
 * A round of asking goes to all relays. Who comes while it lasts waits for its end and shares what comes of it, and for a moment
 * after its end its word stands and newcomers are refused at once, so constant overload makes no storm of questions. Who waits at
 * a limit stands in a ledger (SLOT_WAITING); who waits since an acquire said busy is kept here, and is asked for anew by his
 * relay should we die.
 *
 *   ASKING ── all relays have judged, or were too slow ──► EMPTYING ── what the silent held is free ──► OVER ── a second ──► gone
 *
 * Owner: the steward's role; ends by reclaims_close, which frees it in the loop's next turns. */
#ifndef STEWARD_RECLAIM_RECLAIMS_H
#define STEWARD_RECLAIM_RECLAIMS_H
#include "steward/lease/leases.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct reclaims;

/* Called from the loop, never from within a call from outside. */
struct reclaims_host {
	/* Has that relay ask; false: there is no such relay now. */
	bool (*ask)(void *context, uint32_t relay, const struct message_reclaim *order);
	/* Whoever waits at that limit is to try once more, in the order of arrival. */
	void (*try_places)(void *context, const struct message_reclaim *order);
	void (*acquire_again)(void *context, const struct session_key *key, const struct session_record *record);
	void (*refuse_busy)(void *context, const struct session_key *key, const struct session_record *record);
	/* As leases_giving_back. */
	uint32_t (*giving_back)(void *context, const char *service);
};

/* A service, as far as a round goes. */
struct reclaim_terms {
	uint32_t service_id;
	const char *service;
	uint32_t timeout_ms;         /* reclaim_timeout */
	uint32_t release_timeout_ms; /* what is to be given back is waited for no longer than this */
};

int reclaims_new(struct reclaims **ret, uv_loop_t *loop, const struct reclaims_host *host, void *context);
void reclaims_close(struct reclaims *reclaims);

/* A session waits at a limit: of the service, or of that client address in it (NULL: none). True: there is or begins a round, at
 * the end of which it tries; false: one has just ended, or there are too many rounds already, and it is to be refused. */
bool reclaims_full(struct reclaims *reclaims, const struct reclaim_terms *terms, const struct endpoint *client);

/* Its acquire said busy. True: it waits here; false: as above. */
bool reclaims_busy(struct reclaims *reclaims, const struct reclaim_terms *terms, const struct session_key *key,
	const struct session_record *record);
bool reclaims_keep(const struct reclaims *reclaims, const struct session_key *key); /* it waits here */
void reclaims_forget(struct reclaims *reclaims, const struct session_key *key);     /* it is over */

/* Whether that is what a round asks about. */
bool reclaims_is_for(
	const struct message_reclaim *order, uint32_t service_id, enum holders holders, const struct endpoint *client);

void reclaims_on_answer(struct reclaims *reclaims, uint32_t relay, const struct message_reclaimed *answer);
void reclaims_on_relay_began(struct reclaims *reclaims, uint32_t relay);
void reclaims_on_given_back(struct reclaims *reclaims, const char *service);

#endif
