/* Which versions of what the roles share a program speaks, for an upgrade in place: the program that runs is asked for its list
 * (--versions), and the one that is to take its place whether it can live with that (--can-read LIST). It is the newer one that
 * knows; and as the older one may have to go on with what it leaves, it says yes only to what both can read. */
#ifndef WIRE_VERSIONS_H
#define WIRE_VERSIONS_H
#include <stddef.h>
#include <stdint.h>

struct version {
	const char *name; /* NULL ends a table */
	uint32_t number;
};

enum { VERSIONS_TEXT_SIZE = 256 };

/* "ledger=3,message=3" */
void versions_format(const struct version *table, char text[VERSIONS_TEXT_SIZE]);

/* 0, or -EPROTO with `error`: what stands in the list is of another version here, or unknown. */
int versions_check(const struct version *table, const char *list, char error[VERSIONS_TEXT_SIZE]);

/* Does what --versions and --can-read LIST ask for, if argv does. The exit status, or -1: argv asks for something else. */
int versions_main(const struct version *table, int argc, char **argv);

#endif
