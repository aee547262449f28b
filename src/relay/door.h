/* Listeners and what comes in through them. They are level-triggered: an edge that is lost when descriptors run out would never come
 * back. Their list is the ledger's; a listener of an address that stays is never closed. */
#ifndef RELAY_DOOR_H
#define RELAY_DOOR_H
#include "relay/relay.h"

/* LISTEN: lists the bound socket that came with it, opens it, and answers LISTENING. */
void door_open(struct relay *relay, struct message *listen);

/* UNLISTEN: takes in what is queued, then closes it. */
void door_close(struct relay *relay, const struct message_place *which);

/* LEND: gives the steward a copy. */
void door_lend(struct relay *relay, const struct message_place *which);

/* Takes in clients that wait there, for one turn. True: more may wait. */
bool door_accept(struct relay *relay, uint32_t index);

/* A new plan: what clients inherit from their listener follows the service's policy. */
void doors_apply_plan(struct relay *relay);

/* Accepts nothing more, ever. */
void doors_drain(struct relay *relay);

/* Nothing is accepted for a while: something that newcomers need as well has run out. */
void doors_rest(struct relay *relay);

/* Accepting goes on after a rest, if there is room. */
void doors_resume(struct relay *relay);

/* Some are listed. */
bool doors_are_any(const struct relay *relay);

/* At adoption: watches what the ledger lists. */
void doors_adopt(struct relay *relay);

/* Which listed listener an accepted socket came through, or NULL. */
const struct ledger_listener *door_of(struct relay *relay, int fd);

#endif
