/* The holder owns a descriptor table by merely living, clones the relay, and clones it again when it dies. It opens nothing and
 * touches no libuv, so that every relay starts from the same clean image.
 *
 * One that was started as an heir (take_over.h) is on trial until a relay of it was ready: if none comes to be, it becomes the
 * program before it, by exec. */
#ifndef RELAY_HOLDER_H
#define RELAY_HOLDER_H
#include <stdbool.h>

/* Runs until the table is to go: 0; or it could not begin: 1. heir: with --take-over. */
int holder_run(char *title, bool heir);

#endif
