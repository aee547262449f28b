/* The relay: the process that accepts, connects and moves bytes. It is disposable: killed at any moment, it is started
 * again by its holder, which keeps the descriptor table, and adopts what the ledger lists.
 *
 * struct relay is the one object of the process, made by relay_run and never freed but by the process's end. Its parts, each a file:
 *   adopt     the one way to start; verify: whether what it finds can be right; settle: what a death left half-done in a flow
 *   door      listeners, accepting             link      the channel to the steward
 *   session   a session's life: begin, state changes, finish; cause: why it ends
 *   tally     what a session counts for in the census
 *   own       what a slot is held against before it is used
 *   connect   reaching a backend               flow      one direction of bytes
 *   ending    how each side is to be let go    closing   doing so
 *   deadline  what the clock ends: silence (is a peer dead, stalled or slow?), pace, idle and life times
 *   review    what a new plan means for the sessions that there are; standing: whether what one stands on is in use;
 *             terms: its policy, in the slot and on its sockets
 *   probe     asking a session's peers whether they live, when someone wants to know
 *   place     what a session counts for, and waiting for it; reclaim: rounds of asking all who hold (question: one of them)
 *   hand_over giving all to another holder, and so ending     retire    ending when nothing is left
 *   bridge    to another living relay: sessions that give offers there, and that are gone; arrive: those that come
 *   ring      the events that the steward makes the log of
 *   books, socket, pipes, wheel, vacancies, table     helpers that know nothing of sessions */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H
#include "relay/parent.h"
#include "relay/pipes.h"
#include "relay/vacancies.h"
#include "relay/wheel.h"
#include "wire/census.h"
#include "wire/census_clients.h"
#include "wire/ledger.h"
#include "wire/message.h"
#include "wire/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct session;
struct reclaim;
struct hand_over;
struct inheritance;
struct bridge;

/* What a set bit of the epoll data says; the rest of its 64 bits is an index. */
enum watch_kind { WATCH_LOOP, WATCH_LISTENER, WATCH_SESSION };

struct link {
	uv_poll_t poll;
	int channel;
	struct session *tell_head, **tell_tail; /* sessions that wait to be told about */
	bool writable_awaited;
	bool behind, full;   /* something could not be said; because the channel is full */
	bool rung;           /* EVENTS was said, or will be, and is not yet answered */
	bool hello_owed, plan_owed, ring_owed;
	uint64_t resolve_ms; /* when RESOLVE was last said */
};

struct relay {
	struct ledger ledger;
	struct ledger_header *header; /* ledger.header */
	struct census *census;
	struct census_clients clients; /* of that census */
	uint32_t index;          /* of its pair */
	struct plan plan;        /* plan.header is NULL until there is one */
	uint32_t sessions_max;   /* our share */
	struct vacancies vacancies;
	struct session *sessions; /* what a slot needs only while this process lives; same index */
	struct session *run_head, **run_tail; /* used up their turn and have more to do */
	struct pipes pipes;
	struct wheel wheel;
	uint32_t turn_of_backend[CENSUS_SERVICES]; /* round-robin */
	uint64_t now_ms;         /* CLOCK_MONOTONIC, of this turn of the loop */
	int epoll;               /* sockets and loop; it outlives us, as they do */
	uv_loop_t loop;
	uv_timer_t beat;         /* the heartbeat; no other timer: deadlines are on the wheel */
	uv_poll_t holder_watch;
	struct parent parent;
	struct hand_over *hand_over; /* was asked for, NULL: none is */
	bool retiring;           /* its pair is one too many (retire.h) */
	struct link link;
	struct bridge *bridges[LEDGER_RELAYS]; /* by the other's index; NULL: there is none */
	struct giving *giving;   /* sessions to another relay */
	uint32_t arriving, gone; /* slots that are so */
	bool doors_paused;       /* accepting rests: out of slots or descriptors */
	uint64_t doors_resume_ms;
	uint64_t doors_said_ms;  /* when it was last said why, 0: never */
	uint32_t rto_max_ms;     /* the kernel's own TCP_RTO_MAX_MS; 0: it has none, or we are not to use it */
	bool asking;             /* sessions' peers for a sign of life, and that is to be ended (probe.h) */
	struct reclaim *reclaims; /* rounds that go on */
	bool reviewing;          /* the sessions, under the plan in force (review.h) */
	uint32_t reviewed;       /* how far: the next slot */
	uint32_t checked;        /* likewise, of own_check_some */
	bool loop_touched;       /* libuv arms what was started only in uv_run */
	const struct relay_birth *birth;
	char *title;
	char *buffer;            /* one for all, never held over a turn */
};

enum { RELAY_BUFFER = 256 << 10 };

enum { RELAY_LEDGER_DAMAGED = 3 }; /* exit status: no relay can go on with it, and its holder's table is of no use */

/* Who cloned us, and what for. */
struct relay_birth {
	int holder_pid;
	uint64_t owner; /* the ledger's owner word, to be moved on from: if it has changed, another relay owns the ledger */
	const struct inheritance *inheritance; /* NULL: from a predecessor in the same table */
};

/* Runs until the process ends: 0 when its work is over (the tree is stopping, or another relay owns the ledger), else an exit status. */
int relay_run(const struct relay_birth *birth, char *title);

/* Becomes a holder itself, by exec: its holder is dead, and it alone has the descriptor table now. Returns only if that failed. */
void relay_become_holder(struct relay *relay);

/* Watches a descriptor edge-triggered for all that can happen to a session's socket. 0 or -errno. */
int relay_watch_session(struct relay *relay, uint32_t slot, enum side side, int fd);
/* It may be watched already, since a predecessor's set is ours now; what that was told is told again. */
int relay_watch_adopted(struct relay *relay, uint32_t slot, enum side side, int fd);
int relay_watch_listener(struct relay *relay, uint32_t listener, int fd);
/* libuv's own set, within ours. */
void relay_watch_loop(struct relay *relay, bool on);

/* While many are still to be adopted: what has happened meanwhile, without waiting, and what comes of it. Of the loop nothing. */
void relay_serve(struct relay *relay);

#endif
