/* The passage: what goes with a supervisor over the exec of another version of it, in place: a memfd that lists the descriptors
 * that stay open, by name (those of the estate, with the programs of both versions, and the sockets of systemd), and a few plain
 * numbers. Whoever arrives finds its number in the environment.
 *
 * Made and filled before the exec, mapped by who arrives, and given on to the former one should that not get far: until it is
 * up, its programs are at hand. Its version is among those that both are asked for before (wire/versions.h). */
#ifndef SUPERVISOR_PASSAGE_H
#define SUPERVISOR_PASSAGE_H
#include "supervisor/estate.h"
#include "supervisor/inherited.h"
#include "supervisor/program.h"
#include "wire/census.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

#define PASSAGE_VARIABLE "TCPWARDEN_PASSAGE"

enum {
	PASSAGE_MAGIC = 0x74777061,
	PASSAGE_VERSION = 2,
	PASSAGE_ITEMS_MAX = ESTATE_ITEMS_MAX + INHERITED_MAX,
};

enum passage_side { PASSAGE_FORMER, PASSAGE_NEW, PASSAGE_SIDES };

struct passage_item {
	char name[MESSAGE_TEXT_SIZE];
	int32_t fd;
};

struct passage {
	uint32_t magic, version;
	uint64_t size;
	uint32_t back;                  /* 1: the new version gives way. `error`: why, if it came to nothing before it was up */
	uint32_t allowed_ms;            /* to be up */
	uint32_t number[PASSAGE_SIDES]; /* of the sets of programs */
	char path[PROGRAMS][PATH_MAX];
	char error[MESSAGE_TEXT_SIZE];
	uint32_t count;
	struct passage_item items[PASSAGE_ITEMS_MAX];
};

/* Empty; *ret_fd: its memfd, close-on-exec as yet. 0 or -errno. */
int passage_create(struct passage **ret, int *ret_fd);

/* Maps it and checks that it is whole. 0 or -errno (-EPROTO: of another version). */
int passage_open(struct passage **ret, int fd);
void passage_close(struct passage *passage);

/* The descriptor stays the caller's. 0 or -ENOSPC. */
int passage_add(struct passage *passage, const char *name, int fd);

int passage_find(const struct passage *passage, const char *name); /* -1: not listed */
int passage_find_program(const struct passage *passage, enum passage_side side, enum program_kind kind);

/* Whether what it lists, and it itself at `fd`, stays open over an exec. Safe in a signal handler. */
void passage_keep(const struct passage *passage, int fd, bool over_exec);

#endif
