/* Rounds of "reclaim before refuse": the steward has those who hold something of a service asked whether they live, so that a
 * newcomer is not refused for the sake of the dead. Only the client's side is asked; one over a unix socket lives.
 *
 * A struct reclaim is one round, from the steward's RECLAIM on. Its holders are looked at now and then, a few at a time so that
 * thousands neither keep the loop nor are asked all in one moment, and each leaves it when it has answered. Who is silent
 * (question.h) is ended as client.dead; who has not been judged soon after the timeout counts as alive. When all are judged the
 * steward hears RECLAIMED, and once more when the silent are gone; then the round is freed. A round belongs to struct relay and
 * dies with the process: the steward asks a successor again. */
#ifndef RELAY_RECLAIM_H
#define RELAY_RECLAIM_H
#include <stdint.h>

struct relay;
struct message_reclaim;

/* Begins a round, in place of one for the same holders. */
void reclaim_begin(struct relay *relay, const struct message_reclaim *order);

/* Does what is due; to be called at each turn of the loop while there are rounds. */
void reclaim_turn(struct relay *relay);

/* Until something is due, -1: there is no round. */
int reclaim_wait_ms(const struct relay *relay);

#endif
