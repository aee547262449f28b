/* What a session counts for in the census: its service, its client there, the backend that it is tried on or has. Noted in its
 * slot before it is counted, so that a successor, which counts what it finds noted, counts it, too. */
#ifndef RELAY_TALLY_H
#define RELAY_TALLY_H
#include "relay/relay.h"

/* At start, before anything else may count: all that the ledger notes. */
void tally_adopt(struct relay *relay);

/* A session that begins. 0; -EDQUOT: the service has as many as it may, -EUSERS: the client has; it counts for nothing then. */
int tally_enter(struct relay *relay, struct session *session, const struct plan_service *service);
void tally_enter_backend(struct relay *relay, struct session *session, uint32_t id);

/* One that comes from another relay, which counts it no more once we do. */
void tally_arrive(struct relay *relay, struct session *session);

/* Each may be called again. */
void tally_leave_backend(struct relay *relay, struct session *session);
void tally_leave(struct relay *relay, struct session *session);

#endif
