/* The ledger: one shared-memory table per relay, in which a slot is one session.
 *
 * The supervisor makes it (a memfd sealed SHRINK|GROW|SEAL) and keeps it for as long as the pair lives. The relay alone
 * writes it; the steward maps it through a read-only descriptor. Whatever must survive a relay stands here or in the
 * kernel, and nowhere else: a relay that starts adopts what it finds, and there is no other way to start.
 *
 *   header | slots [slot_count] | events [event_count]
 *
 * Writing order (relay): a slot is filled, then its state is stored (release). A descriptor is unlisted before it is
 * closed, and a backend's is listed before connect(). Reading order (steward): never past high_water, since reading an
 * untouched page of a memfd allocates it; a record is copied and its sequence checked (ledger_read_slot).
 * Every number that the steward reads here is a claim of the relay.
 *
 * LEDGER_VERSION stays as long as an older program can go on with what a newer one leaves, and the other way round: fields are then
 * taken from what is spare, sizes and offsets stay, and 0 (which is what a slot that an older program began has there, and a header
 * that it made) means that nothing is known. Older programs leave such fields of a living session as they are. Whatever else changes
 * is another version: no relay maps it, and no upgrade in place goes from the one to the other (wire/versions.h). */
#ifndef WIRE_LEDGER_H
#define WIRE_LEDGER_H
#include "base/endpoint.h"
#include "wire/policy.h"
#include "wire/reason.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	LEDGER_MAGIC = 0x74776c67,
	LEDGER_VERSION = 4,
	LEDGER_RELAYS = 64, /* as many as there can be in a tree */
	LEDGER_LISTENERS = 256,
	LEDGER_LISTENERS_WANTED = LEDGER_LISTENERS / 2, /* of one config: at a reload those of the last one are there, too */
	LEDGER_PIPES = 1024,
	LEDGER_EVENTS = 4096, /* a power of two */
	LEDGER_SLOTS_MAX = 1 << 20,
	SERVICE_NAME_SIZE = 32,
	ADDRESS_TEXT_SIZE = 128, /* "unix:" and a sun_path fit */
};

/* The life of a session. In brackets: who may move it on.
 *
 *   FREE ── accept ──► ACQUIRING ──► CONNECTING ──► RELAYING ──► CLOSING ──► FREE
 *                       (hooked)        each of these can fail into ▲ │
 *    └── over a limit: REFUSING ────────────────────────────────────┘ └──► RELEASING ── steward: durable ──► FREE
 *         WAITING: that, or on to ACQUIRING or CONNECTING                  (hooked)
 *
 * Between two relays (relay/give.c), where one slot is in each ledger; in brackets: whose the session is.
 *
 *   giver   RELAYING ◄──► LEAVING (the giver's) ──► GONE (the taker's) ──► FREE
 *   taker   FREE ──► ARRIVING (the giver's until that says GONE) ──► RELAYING
 *
 * A descriptor is unlisted before it is closed, in every state; so a listed number is always ours. */
enum slot_state {
	SLOT_FREE,
	SLOT_REFUSING,   /* is to be told why; counts for nothing */
	SLOT_ACQUIRING,  /* waits for the steward's verdict; no byte is taken from the client */
	SLOT_CONNECTING,
	SLOT_RELAYING,
	SLOT_CLOSING,    /* its end is known (record.reason); what was received is still being delivered */
	SLOT_RELEASING,  /* no descriptors; waits until the steward has made the end durable */
	SLOT_WAITING,    /* for a place, while those who hold one are asked whether they live; counts for nothing */
	SLOT_LEAVING,    /* offered to another relay; no byte is moved meanwhile */
	SLOT_GONE,       /* it is that one's now; until that has begun it, and the steward knows where its lease belongs */
	SLOT_ARRIVING,   /* another relay's, unless its slot there is GONE */
	SLOT_STATES
};

/* "free", "acquiring"; "?" for what is none. */
const char *slot_state_word(unsigned state);

/* One direction of bytes: flow[s] moves what side s sends. */
enum flow_state {
	FLOW_OPEN,
	FLOW_DRAINING, /* the source has ended; what it sent before is still to be given to the target */
	FLOW_SHUT,     /* and the target was told by SHUT_WR */
	FLOW_CUT,      /* nothing more is given: the target is gone, or will be reset. Its source may be read and dropped,
	                  so its books no longer agree; stored before the first byte is dropped */
	FLOW_CUT_SHUT, /* cut, and the target was told by SHUT_WR all the same */
};
static inline bool flow_is_shut(unsigned flow)
{
	return flow == FLOW_SHUT || flow == FLOW_CUT_SHUT;
}
static inline bool flow_is_cut(unsigned flow)
{
	return flow == FLOW_CUT || flow == FLOW_CUT_SHUT;
}

/* What becomes of one side's socket once the session's end is known. */
enum side_ending {
	ENDING_NONE,
	ENDING_DELIVER, /* SHUT_WR, drop what comes, close when our FIN is acknowledged and the peer has ended */
	ENDING_RESET,   /* deliver what is given, until acknowledged, then RST */
	ENDING_NOW,     /* RST at once, or a plain close of what is already dead */
};

/* How the peer of one side ended its stream, as far as is known. */
enum side_end { SIDE_LIVE, SIDE_FINISHED, SIDE_FAILED };

/* What people, hooks, logs and metrics are told of a session; copied whole into its events. */
struct session_record {
	uint64_t id;             /* unique on this machine, grows with time within a relay; printed as %llx */
	uint64_t fence;          /* of its lease, 0 without one */
	uint64_t started_us;     /* CLOCK_REALTIME */
	uint64_t started_ms;     /* CLOCK_MONOTONIC */
	uint64_t connected_ms;   /* CLOCK_MONOTONIC, 0: never */
	uint64_t ended_ms;       /* CLOCK_MONOTONIC, 0: lives */
	struct endpoint client;
	struct endpoint local;
	struct endpoint backend; /* the address in use, AF_UNSPEC: none yet */
	struct endpoint source;  /* our own end of the connection to it, AF_UNSPEC: not connected */
	uint32_t service_id;     /* plan_service.id */
	uint32_t backend_id;     /* plan_backend.id, 0: none */
	uint32_t listener_id;
	uint32_t plan_generation;
	uint64_t bytes[SIDES];       /* taken from that side and given to the other */
	uint64_t undelivered[SIDES]; /* sent by that side and not known to be in the other peer's kernel */
	struct reason reason;
	char service[SERVICE_NAME_SIZE]; /* NUL terminated */
};

/* One end of a session's way from one relay to another. */
struct slot_way {
	uint64_t offer;       /* the giver's number for it, never given twice in one ledger; 0: it has not gone that way */
	uint32_t relay, incarnation, slot; /* there; of a taker's slot the number is known once the session is GONE */
	uint32_t whole;       /* ARRIVING: 1 once all of its descriptors are listed */
};

struct slot {
	_Atomic uint32_t sequence; /* odd while the record is being written */
	_Atomic uint32_t state;    /* enum slot_state */
	struct session_record record;
	struct policy policy;
	int32_t fd[SIDES];         /* -1: none */
	int32_t pipe[SIDES];       /* pipe of that side's flow: an index into header.pipes, or -1 */
	int64_t given_base[SIDES]; /* what "given" of the books said when the session began: 0 accepted, 1 connected */
	int64_t past_mark[SIDES];  /* to a unix socket, past an urgent mark: what "taken" will say when the copied bytes are dropped; 0: none */
	uint64_t deadline_ms;      /* of the state it is in, CLOCK_MONOTONIC, 0: none */
	_Atomic uint64_t moved[SIDES]; /* bytes given on so far by that side's flow; settled from the books at adoption */
	int32_t side_error[SIDES]; /* errno that the socket once told, kept since it tells it once */
	uint8_t side_operation[SIDES];
	uint8_t side_end[SIDES];   /* enum side_end */
	uint8_t flow[SIDES];       /* enum flow_state */
	uint8_t ending[SIDES];     /* enum side_ending */
	uint8_t counted;           /* COUNTED_*: noted before it is counted in the census */
	uint8_t told;              /* TOLD_*: what was said of this session, noted so that it is said once */
	uint16_t tries;            /* connections tried */
	uint32_t candidate;        /* index of the backend last tried, within its service */
	uint32_t address;          /* index of the address last tried, within that backend */
	uint32_t counted_service;  /* what it counts for: census indices; its client counts for that service, too */
	uint32_t counted_backend;
	struct endpoint route;     /* where an acquire hook sent it; AF_UNSPEC: the service's own backends */
	uint64_t received[SIDES];  /* what that side's kernel books said when its socket was closed: bytes that came in, */
	uint64_t acked[SIDES];     /* and bytes that its peer acknowledged */
	_Atomic uint64_t moved_ms[SIDES]; /* when that side's flow last gave bytes on, CLOCK_MONOTONIC; 0: never */
	_Atomic uint64_t progress_ms[SIDES]; /* since when that side's peer has acknowledged nothing more, as last seen while
	                                        bytes were outstanding */
	uint64_t dropped[SIDES];   /* bytes that were taken from that side and given to no one: a unix socket has no books for it */
	int16_t full;              /* WAITING: for a place of the service (EDQUOT) or of its client there (EUSERS) */
	uint8_t drain_who;         /* enum who: takes what it stands on out of use */
	uint8_t padding;
	uint32_t policy_generation; /* of the plan whose policy it lives under */
	uint64_t drain_ms;         /* when it is ended since its service or backend is out of use, CLOCK_MONOTONIC; 0: it is not */
	uint64_t spare[2];         /* 0; the test version keeps the session's id here, from its first adoption on */
	struct slot_way from;      /* whence it came. Its id names the relay that accepted it, wherever it is */
	struct slot_way to;        /* LEAVING, GONE */
};

/* CLOSING: when that side's linger_timeout ends, unless progress lengthens it. Each side has its own, from the same moment on; the
 * slot's deadline is the later end. */
uint64_t slot_linger_end_ms(const struct slot *slot, enum side s);

/* Its backend is connected, and its end not known; also while it is between two relays. */
static inline bool slot_is_connected(const struct slot *slot)
{
	unsigned state = slot->state;

	return state == SLOT_RELAYING || state == SLOT_LEAVING || state == SLOT_GONE || state == SLOT_ARRIVING;
}

/* It was accepted by that relay. */
static inline bool slot_is_own(const struct slot *slot, uint32_t relay)
{
	return (slot->record.id & (LEDGER_RELAYS - 1)) == relay;
}

enum { COUNTED_SERVICE = 1, COUNTED_BACKEND = 2, COUNTED_CLIENT = 4 };
enum {
	TOLD_ASKED = 1,     /* the steward may have been asked for its lease */
	TOLD_CONNECTED = 2, /* that event is in the ring */
	TOLD_ENDED = 4,     /* likewise */
	TOLD_CLIENT = 8,    /* why it is refused: that is, or was, in the pipe of flow[SIDE_BACKEND] */
	TOLD_PROBE = 16,    /* its peers are being asked for a sign of life: keepalive is not as its policy says */
	TOLD_TERMS = 32,    /* it has another policy now, and its sockets may not be as that says */
};

enum listener_state { LISTENER_FREE, LISTENER_BOUND, LISTENER_LISTENING };
struct ledger_listener {
	_Atomic uint32_t state; /* enum listener_state */
	uint32_t id;            /* steward's number for this address, never reused within a tree */
	int32_t fd;
	uint16_t shared;        /* 1: one socket for all relays (unix, systemd): never shut, only closed */
	uint16_t place;         /* which of the address's sockets it is: index of the relay that it was bound for */
	struct endpoint local;
	char address[ADDRESS_TEXT_SIZE]; /* as configured: "0.0.0.0:5020", "unix:/run/plc.sock", "systemd:plc" */
};

struct ledger_pipe {
	int32_t fd[2];     /* read end, write end; -1: this entry is empty */
	uint32_t capacity; /* bytes, fcntl(2) F_GETPIPE_SZ */
	uint32_t padding;
};

/* To another relay: sessions come and go by it (relay/bridge.h). */
struct ledger_bridge {
	uint64_t number;      /* of the supervisor's BRIDGE: both ends have the same; 0: there is none */
	uint32_t incarnation; /* of the other pair */
	int32_t channel;
	int32_t ledger;       /* the other's, read-only */
	uint32_t padding;
};

enum event_kind { EVENT_CONNECTED = 1, EVENT_ENDED = 2 };
struct ledger_event {
	_Atomic uint64_t sequence; /* 0 while being written, else its number, from 1 */
	uint32_t kind;             /* enum event_kind */
	uint32_t slot;
	struct session_record record;
};

struct ledger_header {
	uint32_t magic, version;
	uint64_t size;             /* of the whole memfd, bytes */
	uint32_t slot_count, slot_size, event_count, event_size;
	uint64_t slots_offset, events_offset;
	uint64_t tree;             /* the tree it belongs to */
	uint32_t relay;            /* index of its pair, from 0 */
	uint32_t incarnation;      /* of the pair at that index: a new one has a new ledger */
	uint64_t id_base;          /* session ids are (id_base + n) << 6 | relay */
	_Atomic uint64_t id_next;  /* n */
	_Atomic uint32_t high_water; /* slots at and above have never been used */
	_Atomic uint32_t starts;   /* relays started on it */
	_Atomic uint32_t ready;    /* 1: the owner has adopted and runs */
	_Atomic uint32_t handed_over; /* number of the last hand-over (relay/hand_over.h) whose heir became the owner */
	_Atomic uint32_t gave_way; /* number of the last one whose heir did, and then could not run: its former program is back */
	_Atomic uint64_t owner;    /* who may move bytes: ledger_owner_pid; moved on by ledger_owner_move alone */
	_Atomic uint64_t beat_ns;  /* heartbeat of the owner, CLOCK_MONOTONIC */
	int32_t plan_fd;           /* the plan in force, -1: none yet */
	uint32_t draining;         /* 1: accepts nothing more */
	_Atomic uint64_t events_made;  /* number of the newest event */
	_Atomic uint64_t events_taken; /* number up to which the steward has dealt with them */
	uint32_t kill_one_in;      /* kill points, only in builds that have them; 0: off */
	uint32_t no_rto_max;       /* 1: do as on a kernel without TCP_RTO_MAX_MS */
	char program[32];          /* version of the owner's program, for people; empty: it does not say */
	uint64_t offers;           /* how many sessions were ever offered to other relays: struct slot_way,
	                              and (arrivals) came from them */
	_Atomic uint32_t gives_to; /* relay that is given our sessions, + 1; 0: none is */
	uint32_t padding;
	uint64_t arrivals;
	uint64_t spare[1];         /* 0 */
	struct ledger_listener listeners[LEDGER_LISTENERS];
	struct ledger_pipe pipes[LEDGER_PIPES];
	struct ledger_bridge bridges[LEDGER_RELAYS]; /* by the other's index */
};

/* The pid of the relay that may move bytes and write here, 0: none. The upper half of the word counts the changes, so that whoever
 * compares an old word with the present one is never misled by one that has come back. */
static inline int32_t ledger_owner_pid(uint64_t owner)
{
	return (int32_t)(uint32_t)owner;
}

static inline uint64_t ledger_owner_next(uint64_t owner, int32_t pid)
{
	return ((owner >> 32) + 1) << 32 | (uint32_t)pid;
}

/* Whoever of several moves it on from the same word: one succeeds. */
static inline bool ledger_owner_move(struct ledger_header *header, uint64_t from, int32_t pid)
{
	return atomic_compare_exchange_strong(&header->owner, &from, ledger_owner_next(from, pid));
}

struct ledger {
	struct ledger_header *header;
	struct slot *slots;
	struct ledger_event *events;
	uint32_t slot_count; /* checked when it was mapped */
	size_t size;
};

/* What a relay is to do for tests: see the header. */
struct ledger_trial {
	uint32_t kill_one_in, no_rto_max;
};

/* A new ledger for a pair, as a sealed memfd; -errno. slot_count 1..LEDGER_SLOTS_MAX. */
int ledger_create(uint64_t tree, uint32_t relay, uint32_t incarnation, uint32_t slot_count, struct ledger_trial trial);

/* Maps it, writable or not, and checks that it is one of ours and whole. 0 or -errno (-EPROTO: another version, -EINVAL: damaged,
 * -EPERM: it could be truncated under us). Unmap with ledger_unmap. */
int ledger_map(struct ledger *ret, int fd, bool writable);
void ledger_unmap(struct ledger *ledger);

/* A consistent copy of a slot that a relay may be writing; its state is in ret->state. 0; -EAGAIN: it was changing all the
 * while (a relay died in it: after the next adoption it is whole again); -ENOENT: not below high_water. */
int ledger_read_slot(const struct ledger *ledger, uint32_t index, struct slot *ret);

/* A consistent copy of event `number`. 0; -EAGAIN: being written or not made yet; -ESTALE: overwritten. */
int ledger_read_event(const struct ledger *ledger, uint64_t number, struct ledger_event *ret);

#endif
