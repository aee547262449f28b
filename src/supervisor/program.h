/* The programs of one version, held open: what is started again is what was started before, whatever stands at its path by then.
 * A package that is being upgraded replaces the files one after the other; only an upgrade opens them anew. They stand in the
 * estate, so that a supervisor's death does not change that, either. Owner: whoever opened or took the set, until
 * program_set_close. */
#ifndef SUPERVISOR_PROGRAM_H
#define SUPERVISOR_PROGRAM_H
#include "supervisor/estate.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum program_kind { PROGRAM_SUPERVISOR, PROGRAM_STEWARD, PROGRAM_RELAY, PROGRAMS };

struct program {
	int fd; /* O_PATH; -1: none */
	char path[PATH_MAX];
};

struct program_set {
	uint32_t number; /* tells it from others of this tree, from 1 */
	struct program of[PROGRAMS];
};

extern const char *const program_words[PROGRAMS]; /* "supervisor", "steward", "relay" */

void program_set_init(struct program_set *set); /* empty */

/* 0 or -errno. */
int program_open(struct program *ret, const char *path);

/* Ours, which is the one that runs, and those that belong to it. self: as we were called. 0 or an exit status of sysexits.h with
 * `error` set. */
int program_set_find(struct program_set *set, const char *self, char error[512]);

/* What stands at the paths of `set` now. 0; or -errno with the path that failed, and nothing is open. */
int program_set_open_anew(struct program_set *ret, const struct program_set *set, const char **ret_failed);

/* Both hold the same files. */
bool program_set_is(const struct program_set *set, const struct program_set *other);

struct estate_name program_name(enum program_kind kind, uint32_t number);

void program_set_leave(const struct program_set *set, struct estate *estate);

/* What a predecessor left under that number; `paths`: of the set that has the same. 0, or -ENOENT: it is not whole. */
int program_set_take(struct program_set *ret, struct estate *estate, uint32_t number, const struct program_set *paths);

/* Withdrawn, too. */
void program_set_close(struct program_set *set, struct estate *estate);

#endif
