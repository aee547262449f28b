/* A program of ours, held open: what is started again is what was started before, whatever stands at its path by then. A package
 * that is being upgraded replaces the files one after the other; only `upgrade` opens them anew.
 * Owner: whoever opened it, until program_close. */
#ifndef SUPERVISOR_PROGRAM_H
#define SUPERVISOR_PROGRAM_H
#include <limits.h>
#include <stdint.h>

struct program {
	int fd;          /* O_PATH; -1: none */
	uint32_t number; /* of the set that was opened together, from 1 */
	char path[PATH_MAX];
};

/* 0 or -errno. */
int program_open(struct program *ret, const char *path, uint32_t number);
void program_close(struct program *program);

#endif
