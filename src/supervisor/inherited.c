#include "supervisor/inherited.h"

#include "wire/say.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3 }; /* SD_LISTEN_FDS_START */

static int number_of(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

void inherited_init(struct inherited *inherited, struct estate *estate)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	long n = pid && count && strtol(pid, NULL, 10) == (long)getpid() ? strtol(count, NULL, 10) : 0;

	inherited->count = 0;
	for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++) {
		/* Without names systemd says "unknown". Their order changes between starts, so only the name counts. */
		size_t length = names ? strcspn(names, ":") : 0;
		char name[MESSAGE_TEXT_SIZE] = "unknown";

		if (names) {
			snprintf(name, sizeof name, "%.*s", (int)length, names);
			names = names[length] ? names + length + 1 : NULL;
		}
		if (estate_is_name(name)) {
			estate_find(estate, name, fd);
			continue;
		}
		if (number_of(fd, SO_TYPE) != SOCK_STREAM || number_of(fd, SO_ACCEPTCONN) != 1 ||
			inherited->count == INHERITED_MAX) {
			say(LOG_WARNING,
				"the descriptor \"%s\" that systemd passed is no listening stream socket (or one too many): "
				"closed",
				name);
			close(fd);
			continue;
		}
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		inherited->sockets[inherited->count].fd = fd;
		memset(&inherited->sockets[inherited->count].name, 0, sizeof(struct message_text));
		memcpy(inherited->sockets[inherited->count].name.text, name, sizeof name);
		inherited->count++;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
