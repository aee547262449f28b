/* Which versions of what the roles share a program speaks, for an upgrade in place: the program that runs is asked for its list
 * (--versions), and the one that is to take its place whether it can live with that (--can-read LIST). It is the newer one that
 * knows. The older one may have to go on with what it leaves, so it says yes only if each can read what the other one leaves: a
 * format that changes is read by one release, and written by the next. */
#ifndef WIRE_VERSIONS_H
#define WIRE_VERSIONS_H
#include <stddef.h>
#include <stdint.h>

struct version {
	const char *name;        /* NULL ends a table */
	uint32_t leaves;         /* what it writes, whatever it found */
	uint32_t oldest, newest; /* what it reads */
};

#define VERSION_ONLY(name, number)                                                                                               \
	{                                                                                                                        \
		(name), (number), (number), (number)                                                                             \
	}
#define VERSIONS_END                                                                                                             \
	{                                                                                                                        \
		NULL, 0, 0, 0                                                                                                    \
	}

enum { VERSIONS_TEXT_SIZE = 256 };

/* "ledger=3,database=2/1-2": leaves 2, reads from 1 to 2 */
void versions_format(const struct version *table, char text[VERSIONS_TEXT_SIZE]);

/* 0, or -EPROTO with `error`: what stands in the list cannot be read here, or what is left here cannot be read there. */
int versions_check(const struct version *table, const char *list, char error[VERSIONS_TEXT_SIZE]);

/* Does what --versions and --can-read LIST ask for, if argv does. The exit status, or -1: argv asks for something else. */
int versions_main(const struct version *table, int argc, char **argv);

#endif
