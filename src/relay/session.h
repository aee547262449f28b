/* A session: one client, at most one backend, two flows. What must survive us is its slot; struct session is the rest.
 *
 * States and who moves them on: wire/ledger.h. Everything that happens to a session ends in session_run, which looks at the
 * state and at the sockets, never at which event it was; so an event too many does no harm and adoption needs none. */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H
#include "relay/books.h"
#include "relay/relay.h"
#include "relay/silence.h"
#include "relay/slot.h"

/* What would harm others if it were wrong in the slot: own.h. */
struct session_own {
	uint64_t id; /* 0: the slot is free */
	struct endpoint client;
	int32_t fd[SIDES], pipe[SIDES];
	uint32_t counted_service, counted_backend;
	uint8_t counted;
};

struct session {
	struct wheel_entry due;        /* first: the wheel's entry is the session */
	struct session_own own;
	struct session *run_next;
	struct session *tell_next;
	uint32_t index;
	uint32_t average[SIDES];       /* bytes moved per wake, moving average: small go by copy, large by splice */
	uint32_t in_pipe[SIDES];       /* bytes in that flow's pipe */
	uint32_t events[SIDES];        /* EPOLL* that woke it, 0: none in particular */
	uint32_t first_candidate;      /* where the round over the backends began */
	uint32_t round_generation;     /* and under which plan, 0: none has begun in this process */
	uint64_t asked_until_ms;       /* TOLD_PROBE: until then its peers are asked */
	uint16_t check_ms;             /* how long until a closing session is looked at again */
	uint8_t tell;                  /* enum message_kind that the steward is to hear, 0: none */
	bool queued;                   /* is in the run queue */
	bool telling;                  /* is in the tell queue */
	bool asked;                    /* ACQUIRE was said by us */
	bool full_told;                /* FULL likewise */
	bool tries;                    /* WAITING: by itself (place.c) */
	bool waits;                    /* the slot's session is a predecessor's and is not adopted yet: nothing is done with it */
	bool starved;                  /* the kernel had no memory for what it has to give: tried again when due */
	bool blocked[SIDES];           /* that side's flow waits until its target is writable */
	bool begun_there;              /* GONE: its taker has said so */
	bool filed;                    /* GONE: the steward has noted whose it is */
	bool input_cut[SIDES];         /* bytes of that side were read and dropped */
	struct silence silence[SIDES];
};

static inline struct slot *session_slot(struct relay *relay, const struct session *session)
{
	return &relay->ledger.slots[session->index];
}

/* A new session for an accepted socket, which it owns from here on. The caller has seen that there is a free slot. */
void session_begin(struct relay *relay, const struct plan_service *service, const struct ledger_listener *listener, int fd,
	const struct sockaddr_storage *client);

/* All that is not in its slot begins anew: it is adopted again. */
void session_renew(struct session *session);

/* Does what can be done now. */
void session_run(struct relay *relay, struct session *session);

/* Its time on the wheel has come. */
void session_due(struct relay *relay, struct session *session);

/* It has more to do but others are to have their turn first. */
void session_queue(struct relay *relay, struct session *session);

/* The steward's answer to ACQUIRE. */
void session_verdict(struct relay *relay, struct session *session, const struct message_verdict *verdict);

/* Ended by us, not by a peer: on_policy_end says how, `now` overrules it. */
void session_end_by_us(struct relay *relay, struct session *session, const struct reason *reason, bool now);

void session_end_all_by_us(struct relay *relay, const struct reason *reason, bool now);

/* The books of that side's socket. An errno that it tells meanwhile, which it does once, is kept in the slot. 0 or as books_read. */
int session_books(struct slot *slot, enum side s, struct books *ret);

/* Why that socket is in CLOSE though no one closed it in order: an errno. */
int session_error(struct slot *slot, enum side s);

/* Both sockets are closed: account, event, and free, or wait for the steward. */
void session_finish(struct relay *relay, struct session *session);

/* The slot is free for another. */
void session_free(struct relay *relay, struct session *session);

#endif
