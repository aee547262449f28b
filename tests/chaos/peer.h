/* One side of a session: carries out its plan on a socket of its own, checks every byte that comes, and keeps what became of it.
 *
 * Made by peer_new, moved on by peer_step until that says that it is over, then recorded and freed by its owner; the descriptor
 * is closed by then. */
#ifndef CHAOS_PEER_H
#define CHAOS_PEER_H
#include "books.h"
#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

enum { HELLO_MAGIC = 0x74776863 };

/* The first bytes of each client: by them the backend knows its own plan. */
struct hello {
	uint32_t magic, padding;
	uint64_t id;
};

/* SETTLING: its end has come and its books are being settled. CLOSED: it neither reads nor sends, and the kernel goes on. */
enum phase { PHASE_CONNECTING, PHASE_RUNNING, PHASE_SETTLING, PHASE_CLOSED, PHASE_OVER };
enum saw { SAW_NOTHING, SAW_EOF, SAW_RESET };                                 /* of the peer's end */
enum did { DID_NOTHING, DID_RESET, DID_CLOSE_UNREAD, DID_CLOSE, DID_VANISH }; /* of its own accord, not in order */

struct peer {
	int fd;
	enum side side;
	enum phase phase;
	const struct run *run;
	uint64_t id;
	bool known; /* the hello, and so the plan */
	struct hello hello;
	struct plan plan;
	uint64_t draws;
	char local[64], remote[64];

	bool readable, writable; /* by edges, until EAGAIN */
	uint64_t born_ms, next_send_ms, next_read_ms;
	uint32_t send_paused_ms, read_paused_ms;
	bool frozen;         /* has been */
	bool overtaken;      /* its end was to come, but the connection was dead already */
	bool exact, settled; /* nothing came after the last look; and what had come is acknowledged */
	uint64_t end_ms;     /* when its own end is due; 0: its point is not reached */
	uint64_t message_left;

	uint64_t sent, received; /* bytes, the hello counted */
	bool fin;
	int send_error;
	enum saw saw;
	int saw_error;
	enum did did;
	uint64_t fin_us, saw_us, did_us; /* CLOCK_MONOTONIC */
	bool wrong;
	uint64_t wrong_at;
	bool stuck;         /* was ended from outside: it should have ended by itself */
	struct books books; /* its last look */

	struct peer *previous, *next;
};

/* fd: connecting or accepted, non-blocking; the peer closes it. id: for a backend 0, it will be told. NULL: no memory. */
struct peer *peer_new(int fd, enum side side, const struct run *run, uint64_t id);

void peer_note_events(struct peer *peer, uint32_t events); /* EPOLL* */
void peer_step(struct peer *peer);                         /* until its phase is PHASE_OVER */
void peer_give_up(struct peer *peer);

/* For cut.h: where its sending stops, and that it is gone. */
uint64_t peer_out_limit(const struct peer *peer);
void peer_over(struct peer *peer);

/* What its plan wants of a socket, to be set before it is connected. */
void peer_set_options(int fd, const struct plan *plan);


#endif
