/* Sockets that systemd gave us, by name. A member of whoever gives them away; ends by gifts_fini. */
#ifndef STEWARD_LISTEN_GIFTS_H
#define STEWARD_LISTEN_GIFTS_H
#include <stddef.h>

struct gift;

struct gifts {
	struct gift *list;
	size_t count;
};

/* Takes fd, whatever comes of it. Of two with one name the later counts. */
void gifts_add(struct gifts *gifts, const char *name, int fd);

/* The descriptor, which stays ours; -1: there is none of that name. */
int gifts_find(const struct gifts *gifts, const char *name);

void gifts_fini(struct gifts *gifts);

#endif
