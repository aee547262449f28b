/* What each kind of connection asks of its two sides, and what is to be said of how it went. Pure functions of a connection's
 * state. */
#ifndef LOAD_SCRIPT_H
#define LOAD_SCRIPT_H
#include "conn.h"

/* Bytes that this side sends and receives in all, the request counted. */
uint64_t script_out_total(const struct conn *c);
uint64_t script_in_total(const struct conn *c);

bool script_out_done(const struct conn *c);
bool script_stalls(const struct conn *c);
bool script_may_send(const struct conn *c); /* now */
bool script_may_read(const struct conn *c); /* now */
bool script_shuts(const struct conn *c);    /* it ends its stream in order when it has sent all */
bool script_resets(const struct conn *c);   /* it ends the connection by a reset */

/* What the end of the incoming stream should have been, and was. message: what KIND_MESSAGE must bring. */
enum load_verdict script_judge(const struct conn *c, const char *message);

#endif
