/* Where the programs that the roles start are: in the directory they were installed in, or in a list of directories named by the
 * environment (TCPWARDEN_LIBEXECDIR, colons between them), to run from a build tree. */
#ifndef WIRE_PROGRAMS_H
#define WIRE_PROGRAMS_H
#include <limits.h>

/* The first executable regular file DIR/name. 0 or an exit status, with `error` for people. */
int programs_find(char ret[PATH_MAX], const char *name, char error[512]);

#endif
