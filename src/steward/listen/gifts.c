#include "steward/listen/gifts.h"

#include "wire/message.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gift {
	char name[MESSAGE_TEXT_SIZE];
	int fd;
};

void gifts_add(struct gifts *gifts, const char *name, int fd)
{
	struct gift *list = realloc(gifts->list, (gifts->count + 1) * sizeof *list);

	if (!list) {
		close(fd);
		return;
	}
	gifts->list = list;
	list[gifts->count].fd = fd;
	strncpy(list[gifts->count].name, name, MESSAGE_TEXT_SIZE - 1);
	list[gifts->count].name[MESSAGE_TEXT_SIZE - 1] = '\0';
	gifts->count++;
}

int gifts_find(const struct gifts *gifts, const char *name)
{
	for (size_t i = gifts->count; i-- > 0;)
		if (strcmp(gifts->list[i].name, name) == 0)
			return gifts->list[i].fd;
	return -1;
}

void gifts_fini(struct gifts *gifts)
{
	for (size_t i = 0; i < gifts->count; i++)
		close(gifts->list[i].fd);
	free(gifts->list);
}
