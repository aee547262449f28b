/* Messages between roles: one SOCK_SEQPACKET pair per pair of roles. The supervisor keeps both ends of each one between
 * steward and relay, so that a death closes nothing there and the next one finds its channel. A steward gets a new channel to the supervisor at each
 * start; a holder alone has the far end of its own, whose end of file says that its descriptor table is gone.
 *
 * A message only asks for a step that a start would take anyway: losing one loses no fact, and doing one twice does no harm.
 * Facts stand in the ledger, in the lease database, in the plan or in the kernel. So who starts first drops what was
 * queued for its predecessor on a channel that it finds, and says HELLO; who hears HELLO says again whatever still waits for an answer.
 *
 * Each message has a fixed size and a fixed number of descriptors, and only some may be said by a given speaker at a given
 * time (message_set). What is not permitted now is as fatal to its sender as what is unknown. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H
#include "base/endpoint.h"
#include "wire/ledger.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* The version stays as long as each kind keeps its number, size and meaning: kinds are then added at the end of the table, and whoever
 * does not know one drops it. Anything else is another version, and no upgrade in place goes from the one to the other. */
enum { MESSAGE_VERSION = 4, MESSAGE_FDS_MAX = 2, MESSAGE_TEXT_SIZE = 256, USER_NAME_SIZE = 33 };

/* M(NAME, member of union message_body, descriptors, speaker → listener, what it asks) */
#define MESSAGES(M) \
	/* steward → supervisor */ \
	M(SETTINGS, settings, 0, "what the supervisor needs of the config; first message of a steward, and at each change") \
	M(ACCEPTED, generation, 2, "keep for the next steward: plan memfd, memfd of the config text it was made from") \
	M(READY, none, 0, "listeners are open, relays have the plan: the service is up") \
	M(RELOADED, outcome, 0, "answer to RELOAD, or a reload asked for otherwise has ended") \
	M(RELOADING, none, 0, "a reload asked for by the control socket begins") \
	M(STATUS, outcome, 0, "one line for people: sd_notify STATUS=") \
	M(REPLACE, pair, 0, "this relay said what it may not: replace it") \
	M(STOPPED, none, 0, "sessions are over, releases have run: the tree may end") \
	M(UPGRADE, none, 0, "take the programs that are installed now") \
	/* supervisor → steward */ \
	M(BEGIN, begin, 1, "the lock is held, go on: census memfd") \
	M(RESUME, generation, 2, "sent before BEGIN to all but the first steward: what ACCEPTED left") \
	M(INHERITED, text, 1, "a listening socket that systemd gave us, by name; sent before BEGIN") \
	M(PAIR, pair, 2, "a pair and its read-only ledger and the steward's end of its channel; sent for each, also again") \
	M(PAIR_LOST, pair, 0, "the descriptor table of that incarnation is gone, and with it its sessions") \
	M(RELOAD, none, 0, "read the config file") \
	M(STOP, deadline, 0, "drain until the deadline, end the rest, run every release") \
	M(UPGRADE_STATE, upgrade, 0, "how the last upgrade stands") \
	/* supervisor → steward, relay */ \
	M(SUPERVISOR, none, 1, "I am the supervisor now, my pidfd: say again what I have to know of you") \
	/* holder → supervisor */ \
	M(HOLDER, process, 1, "a holder runs: its pidfd. After a holder's death its relay becomes the holder and says so") \
	M(RELAY, process, 1, "a relay was started: its pidfd") \
	/* supervisor → relay, by its holder's channel */ \
	M(HAND_OVER, hand_over, 1, "give all that you hold to the holder at the other end of this, once it says that it is there") \
	/* relay → steward */ \
	M(RELAY_HELLO, hello, 0, "I started, and have this plan: say again what you want of me") \
	M(PLAN_TAKEN, generation, 0, "this plan is in force here") \
	M(LISTENING, listening, 0, "that listener is open, or could not be") \
	M(ACQUIRE, session, 1, "the session waits for a lease: its client socket, whose addresses hooks are told") \
	M(ENDED, session, 0, "the hooked session is over, its slot says how: make it durable") \
	M(EVENTS, none, 0, "there are events to take") \
	M(RESOLVE, session, 0, "a backend's addresses did not serve: resolve its name again") \
	M(FULL, session, 0, "the session waits for a place, and its service is full: ask those who hold one whether they live") \
	M(RECLAIMED, reclaimed, 0, "how RECLAIM goes on here: said when all are judged, and when the silent are gone") \
	/* steward → relay */ \
	M(STEWARD_HELLO, generation, 0, "I started: say again what waits for me") \
	M(PLAN, generation, 1, "take this plan: its memfd") \
	M(LISTEN, listen, 1, "list and open this bound socket (once the plan of that generation is in force)") \
	M(UNLISTEN, place, 0, "take in what is queued there, then close it") \
	M(VERDICT, verdict, 0, "answer to ACQUIRE") \
	M(END_DURABLE, session, 0, "answer to ENDED or MOVED: the slot may be freed") \
	M(EVENTS_TAKEN, taken, 0, "events up to this one are dealt with") \
	M(KILL, kill, 0, "end this session") \
	M(PROBE, session, 0, "ask both its peers for a sign of life now; the kernel knows the answer") \
	M(KILL_ALL, kill, 0, "end every session") \
	M(RECLAIM, reclaim, 0, "ask the holders of this service whether they live, and end those who are silent") \
	M(ROOM, session, 0, "answer to FULL: try for a place once more, and refuse if there is none") \
	M(DRAIN, none, 0, "accept nothing more: close every listener after what is queued") \
	/* steward → supervisor, and back */ \
	M(WORKERS, workers, 0, "a reload is to have so many pairs: see that they run") \
	M(PAIRS, pairs, 0, "these are all the pairs that there are, and your answer; sent when each was told, and at each change") \
	/* steward → relay, and its answer */ \
	M(LEND, place, 0, "send a copy of that listener, which another relay is to have") \
	M(LENT, place, 1, "here it is; both have it until UNLISTEN") \
	/* supervisor → relay, by its holder's channel */ \
	M(RETIRE, retire, 0, "your pair is one too many: end when nothing is left to you; or it is not any more") \
	/* relay → steward */ \
	M(MOVED, session, 0, "the hooked session is another relay's now, its slot says whose: make that durable; the answer is END_DURABLE") \
	/* supervisor → relay, by its holder's channel */ \
	M(BRIDGE, bridge, 2, "sessions may go between you and that relay: a channel to it, and its ledger, read-only") \
	M(GIVE, give, 0, "give your sessions to that relay, one by one; or keep them")

enum message_kind {
	MESSAGE_NONE,
#define M(NAME, member, fds, asks) MESSAGE_##NAME,
	MESSAGES(M)
#undef M
	MESSAGE_KINDS
};

struct message_header {
	uint16_t version, kind;
	uint32_t padding;
};

struct message_none { uint32_t zero; };
struct message_generation { uint32_t generation; };
struct message_settings {
	char state_directory[PATH_MAX];
	char user_relay[USER_NAME_SIZE], user_status[USER_NAME_SIZE];
	uint32_t workers; /* resolved: at least 1, at most CENSUS_RELAYS */
	uint32_t sessions_max;
	uint32_t hang_after_ms, shutdown_timeout_ms, orphan_timeout_ms, upgrade_timeout_ms;
};
struct message_outcome {
	int32_t error; /* 0 or -errno */
	char text[MESSAGE_TEXT_SIZE];
};
struct message_text { char text[MESSAGE_TEXT_SIZE]; };
struct message_begin {
	uint64_t tree;
	uint32_t workers;   /* pairs that are to serve */
	uint32_t first;     /* 1: the first steward of this tree */
	uint32_t separated; /* 1: roles run as different users */
	uint32_t steward_starts;
};
struct message_pair { uint32_t relay, incarnation; };
struct message_workers {
	uint32_t workers; /* 0: not any more */
	uint32_t number;  /* of the request, from 1 */
};
struct message_pairs {
	uint64_t present;  /* a bit for each */
	uint32_t answered; /* number of the request, 0: of none */
	int32_t error;     /* 0, or -errno: there are not so many, and text says why */
	char text[MESSAGE_TEXT_SIZE];
};
struct message_retire { uint32_t retires; }; /* 0: it is to stay */
struct message_deadline { uint64_t deadline_ms; }; /* CLOCK_MONOTONIC */
struct message_process { int32_t pid; };
enum upgrade_state { UPGRADE_NEVER, UPGRADE_UNDER_WAY, UPGRADE_DONE, UPGRADE_FAILED };
struct message_upgrade {
	uint32_t number; /* how many were asked for in this tree */
	uint32_t state;  /* enum upgrade_state, of the last one */
	char text[MESSAGE_TEXT_SIZE]; /* FAILED: why; the former version goes on. UNDER_WAY: empty, or why it goes back */
};
struct message_hand_over {
	uint32_t number;     /* of this hand-over: grows within the pair's incarnation */
	uint32_t pause_ms;   /* so long the sessions may rest before it is taken back */
	uint32_t allowed_ms; /* from then on, for the new relay to become ready */
};
struct message_bridge {
	uint64_t number; /* both relays are told the same one */
	uint32_t relay, incarnation;
};
struct message_give { uint32_t to; }; /* index + 1, 0: to none */
struct message_hello {
	uint32_t generation; /* plan in force, 0: none */
	uint32_t starts;
};
struct message_listen {
	uint32_t id, generation, shared, place;
	char address[ADDRESS_TEXT_SIZE];
};
struct message_place {
	uint32_t id, place; /* as in struct ledger_listener */
};
struct message_listening {
	struct message_place which;
	int32_t error;
};
struct message_session {
	uint64_t id;
	uint32_t slot;
	uint32_t backend_id; /* RESOLVE only */
};
enum verdict { VERDICT_GO, VERDICT_REFUSE };
struct message_verdict {
	uint64_t id;
	uint32_t slot;
	uint32_t verdict;      /* enum verdict */
	uint64_t fence;        /* 0: go on without a lease */
	struct reason reason;  /* REFUSE: why */
	struct endpoint route; /* GO: where the hook routed it, AF_UNSPEC: nowhere special */
};
struct message_taken { uint64_t number; };
struct message_kill {
	uint64_t id;
	uint32_t slot;
	uint32_t now;         /* 1: reset without delivering */
	struct reason reason;
};

/* Which sessions of a service are asked: those that count for its limits, or those that hold a lease. */
enum holders { HOLDERS_COUNTED, HOLDERS_LEASED };
struct message_reclaim {
	uint64_t round;         /* the steward's number for it, never reused */
	uint32_t service_id;
	uint32_t holders;       /* enum holders */
	uint32_t timeout_ms;    /* silence for so long, though asked, is an end */
	uint32_t padding;
	struct endpoint client; /* only those of this address, whatever port; AF_UNSPEC: all */
};
struct message_reclaimed {
	uint64_t round;
	uint32_t asked, silent; /* sessions; the silent are being ended */
	uint32_t left;          /* that are about to go and have not gone yet, the silent among them */
	uint32_t padding;
};

union message_body {
	struct message_none none;
	struct message_generation generation;
	struct message_settings settings;
	struct message_outcome outcome;
	struct message_text text;
	struct message_begin begin;
	struct message_pair pair;
	struct message_workers workers;
	struct message_pairs pairs;
	struct message_retire retire;
	struct message_deadline deadline;
	struct message_process process;
	struct message_upgrade upgrade;
	struct message_hand_over hand_over;
	struct message_bridge bridge;
	struct message_give give;
	struct message_hello hello;
	struct message_listen listen;
	struct message_place place;
	struct message_listening listening;
	struct message_session session;
	struct message_verdict verdict;
	struct message_taken taken;
	struct message_kill kill;
	struct message_reclaim reclaim;
	struct message_reclaimed reclaimed;
};

struct message {
	struct message_header header;
	union message_body body;
	int fds[MESSAGE_FDS_MAX]; /* received: owned by the receiver, -1 where there is none. Not part of the wire form. */
};

/* A set of kinds: what may be said now. */
typedef uint64_t message_set;
static inline message_set message_bit(enum message_kind kind)
{
	return (message_set)1 << kind;
}

const char *message_name(unsigned kind); /* "SETTINGS"; "?" */

/* A connected pair, non-blocking and close-on-exec. 0 or -errno. */
int message_channel(int ret[2]);

/* Sends without blocking. fds: as many as the kind carries (NULL for none); they stay the caller's. 0 or -errno: -EAGAIN, -ENOBUFS or
 * -ETOOMANYREFS: the listener is behind, say it later. */
int message_send(int channel, enum message_kind kind, const void *body, const int *fds);

/* Receives one. 1: here it is; 0: none waits; -ECONNRESET: all other ends are closed; -EBADMSG: unknown, of another version, wrong
 * in size or descriptors, or not in `permitted` (ret->header.kind says which, as far as it could be told; its descriptors are closed). */
int message_receive(int channel, struct message *ret, message_set permitted);

/* Closes what descriptors of it are still set. */
void message_close_fds(struct message *message);

/* Throws away what waits in the channel: what was said to a predecessor. */
void message_drain(int channel);

#endif
