/* The estate: what a supervisor leaves to its successor, kept true all the time, since it dies without warning. Descriptors, each
 * under a name that says what it is, and one memfd of plain numbers. succession.h makes a living tree of it again.
 *
 * How it reaches the successor is another matter: systemd keeps copies (store.h); over an exec in place the items simply stay
 * open. The descriptors are their users': whoever closes one withdraws it first. Member of the tree. */
#ifndef SUPERVISOR_ESTATE_H
#define SUPERVISOR_ESTATE_H
#include "supervisor/store.h"
#include "wire/census.h"
#include "wire/message.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* E(NAME, word, what it is; NUMBER in its name) */
#define ESTATE(E)                                                                                                                \
	E(NUMBERS, "numbers", "memfd of struct estate_numbers; 0")                                                               \
	E(LOCK, "lock", "the open file that holds STATE/lock; 0")                                                                \
	E(CENSUS, "census", "memfd of struct census; 0")                                                                         \
	E(PLAN, "plan", "memfd of the plan that was accepted last; its generation")                                              \
	E(CONFIG, "config", "memfd of the config text that it was made from; the same")                                          \
	E(STEWARD, "steward", "pidfd; how many stewards were started, with this one")                                            \
	E(STEWARD_CHANNEL, "steward-channel", "our end; the same")                                                               \
	E(STEWARD_PULSE, "steward-pulse", "memfd of struct pulse; the same")                                                     \
	E(LEDGER, "ledger", "of a pair, memfd, writable; its incarnation")                                                       \
	E(CHANNEL, "channel", "to the holder, our end; the same")                                                                \
	E(STEWARD_END, "steward-end", "of the channel between steward and relay; the same")                                      \
	E(RELAY_END, "relay-end", "the other end; the same")                                                                     \
	E(HOLDER, "holder", "pidfd; its pid")                                                                                    \
	E(RELAY, "relay", "pidfd; its pid")                                                                                      \
	E(PROGRAM, "program", "one of a set, O_PATH (which: enum program_kind, in the pair's place); the set's number")

enum estate_kind {
#define E(NAME, word, is) ESTATE_##NAME,
	ESTATE(E)
#undef E
	ESTATE_KINDS
};

struct estate_name {
	enum estate_kind kind;
	uint32_t pair; /* index; 0 for what is the tree's */
	uint32_t number;
};

enum {
	ESTATE_MAGIC = 0x74776573,
	ESTATE_VERSION = 2, /* of the names, the numbers, and what either means */
	ESTATE_NAME_SIZE = 64,
	ESTATE_ITEMS_MAX = 1024 /* 11 and 6 for each pair: 395 for 64 of them, and again as much while pairs are replaced */
};

/* Each is stored whole, and before what it tells of may happen: before a role runs, it stands here that it does. */
struct estate_numbers {
	uint32_t magic, version;
	uint64_t size;
	_Atomic uint64_t tree;
	_Atomic uint32_t pair_count; /* 0: nothing was begun that can be taken up */
	_Atomic uint32_t was_ready, stop_wanted, reload_wanted;
	_Atomic uint64_t stop_deadline_ms;
	_Atomic uint32_t steward_starts;
	_Atomic uint32_t steward_lives;           /* which of them may live, 0: none */
	_Atomic uint32_t steward_ready;           /* 1: and it serves */
	_Atomic uint32_t steward_program, served; /* numbers of sets: that it is of; that all served with before an upgrade */
	_Atomic uint32_t upgrade_back;
	struct message_upgrade upgrade;
	struct {
		_Atomic uint32_t incarnation;
		_Atomic uint32_t started; /* 1: a holder may run on it */
		_Atomic uint32_t told;    /* incarnation that the steward knows */
		_Atomic uint32_t program; /* number of the set that its holder is of, 0: not known */
	} pairs[CENSUS_RELAYS];
	_Atomic uint32_t settings_at; /* which of the two is whole: it is changed by writing the other */
	struct message_settings settings[2];
};

struct estate_item {
	struct estate_name name;
	int fd;
	bool taken; /* by a successor, see succession.h */
};

struct estate {
	struct estate_numbers *numbers;
	int numbers_fd;
	bool closed;
	bool rubbish; /* something was found that we cannot have left */
	uint32_t count;
	struct estate_item items[ESTATE_ITEMS_MAX];
	struct store store;
};

/* "tree/ledger/3.2": no socket of a unit is called so by itself. */
void estate_format_name(const struct estate_name *name, char ret[ESTATE_NAME_SIZE]);
bool estate_parse_name(const char *text, struct estate_name *ret);
bool estate_is_name(const char *text); /* it was meant to be one */

/* Empty. */
void estate_init(struct estate *estate, struct notify *notify);
void estate_fini(struct estate *estate);

/* For a tree that begins: makes the numbers and leaves them. 0 or -errno. */
int estate_open(struct estate *estate);

/* The descriptor stays the caller's. What was left under that name before was withdrawn. */
void estate_leave(struct estate *estate, struct estate_name name, int fd);
void estate_withdraw(struct estate *estate, struct estate_name name); /* fine if there is none */
void estate_withdraw_all(struct estate *estate);                      /* and nothing is left from now on: the tree ends */

/* A successor finds this; the descriptor is the estate's until it is taken. */
void estate_find(struct estate *estate, const char *name, int fd);

bool estate_has(struct estate *estate, struct estate_name name);

/* -1: there is none. Taken, it is the caller's to close. */
int estate_take(struct estate *estate, struct estate_name name);

/* One of those that were found and not taken: its number. False: none is left. */
bool estate_any(const struct estate *estate, enum estate_kind kind, uint32_t pair, uint32_t *ret_number);

/* Maps the numbers that were found, and checks them. 0 or -errno. */
int estate_read(struct estate *estate);

/* Closes and withdraws what was found and not taken. */
void estate_discard(struct estate *estate);

#endif
