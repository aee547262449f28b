/* The review of sessions that a new plan brings: is the service of each still served, is its backend still there, and is it to
 * live under the new policy?
 *
 * Some a turn, so that thousands keep no one waiting. All of it stands in the plan and in the slots: who starts begins the review
 * anew, and what was done is not done twice. A member of the relay; nothing to end. */
#ifndef RELAY_REVIEW_H
#define RELAY_REVIEW_H
struct relay;
struct session;

/* Each session is to be looked at, under the plan in force. PLAN_TAKEN is said when all have been. */
void review_begin(struct relay *relay);

/* The next ones; to be called each turn while it is under way. */
void review_go_on(struct relay *relay);

/* One that was connected by an older plan than that in force. */
void review_session(struct relay *relay, struct session *session);

#endif
