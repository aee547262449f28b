#include "ctl/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int channel_open(struct channel *ret, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	int r, fd;

	if (length >= sizeof to.sun_path)
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, length + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret->stream = NULL;
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
		ret->stream = fdopen(fd, "r+");
	if (ret->stream)
		return 0;
	r = -errno;
	close(fd);
	return r;
}

void channel_close(struct channel *channel)
{
	fclose(channel->stream);
}

/* Past stdio: it would have to be told to turn round between writing and reading. */
int channel_ask(struct channel *channel, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t length, done = 0;

	if (!text)
		return -ENOMEM;
	length = strlen(text);
	text[length++] = '\n'; /* in the place of its NUL */
	while (done < length) {
		ssize_t n = send(fileno(channel->stream), text + done, length - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR) {
			free(text);
			return -errno;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	free(text);
	return 0;
}

json_t *channel_next(struct channel *channel)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, channel->stream);
	json_t *object = n > 0 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;

	free(line);
	if (object && !json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}
