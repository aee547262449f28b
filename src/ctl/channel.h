/* The connection to a running tcpwarden: one request out, objects in until the one that says "ok".
 * Owned by main; ends by channel_close. */
#ifndef CTL_CHANNEL_H
#define CTL_CHANNEL_H
#include <jansson.h>
#include <stdio.h>

struct channel {
	FILE *stream;
};

/* 0 or -errno of connect(2). */
int channel_open(struct channel *ret, const char *path);
void channel_close(struct channel *channel);

int channel_ask(struct channel *channel, json_t *request); /* 0 or -errno */

/* The next object, a new reference; NULL: the other side closed, or did not speak JSON. */
json_t *channel_next(struct channel *channel);

#endif
