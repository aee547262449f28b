/* What became of one side of a session, as a line of JSON. */
#ifndef CHAOS_RECORD_H
#define CHAOS_RECORD_H
#include "peer.h"

#include <stdio.h>

void record_write(FILE *to, const struct peer *peer);

#endif
