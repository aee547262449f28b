#include "steward/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Far more than 1023 services need, and a bound on what a wrong path (/dev/zero) can do. */
enum { TEXT_MAX = 8 << 20 };

static void free_list(char **list)
{
	if (!list)
		return;
	for (char **p = list; *p; p++)
		free(*p);
	free(list);
}

static void hook_config_fini(struct hook_config *hook)
{
	free_list(hook->command);
	free_list(hook->environment);
	free(hook->directory);
	free(hook->user);
	free(hook->group);
	free(hook->user_at);
	hook_user_fini(&hook->runs_as);
}

void service_config_fini(struct service_config *service)
{
	free(service->listen);
	free(service->backends);
	free(service->reject_message);
	hook_config_fini(&service->acquire);
	hook_config_fini(&service->connected);
	hook_config_fini(&service->renew);
	hook_config_fini(&service->prepare_listen);
	hook_config_fini(&service->shutdown);
	hook_config_fini(&service->release);
	memset(service, 0, sizeof *service);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->service_count; i++)
		service_config_fini(&config->services[i]);
	free(config->services);
	free(config->file);
	free(config->text);
	free(config->control_socket);
	free(config->control_group);
	free(config);
}

void config_errors_free(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct config_errors){NULL, 0};
}

const struct service_config *config_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (strcmp(config->services[i].name, name) == 0)
			return &config->services[i];
	return NULL;
}

static int read_whole(const char *file, char **ret, size_t *ret_length)
{
	char *text = malloc(TEXT_MAX + 1), *fitting;
	size_t length = 0;
	struct stat st;
	int fd, r = 0;

	if (!text)
		return -ENOMEM;
	/* Non-blocking: a fifo without a writer must not hold up the loop. */
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		r = -errno;
		goto out;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		r = -EISDIR;
		goto out;
	}
	for (;;) {
		ssize_t n = read(fd, text + length, TEXT_MAX + 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		length += (size_t)n;
		if (length > TEXT_MAX) {
			r = -EFBIG;
			break;
		}
	}
out:
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	text[length] = '\0';
	fitting = realloc(text, length + 1);
	*ret = fitting ? fitting : text;
	*ret_length = length;
	return 0;
}

static const char *remedy(int error)
{
	switch (error) {
	case -ENOENT:
		return "there is no such file; give another with its path";
	case -EACCES:
		return "the user who runs this may not read it";
	case -EISDIR:
		return "give the file in it";
	case -EFBIG:
		return "a config is at most 8 MiB";
	}
	return "it cannot be read";
}

int config_load(const char *file, struct config **ret, struct config_errors *errors)
{
	char *text = NULL;
	size_t length = 0;
	int r = read_whole(file, &text, &length);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		char *line = NULL;
		char **lines = malloc(sizeof *lines);
		if (!lines || asprintf(&line, "%s: %s (%s)", file, strerror(-r), remedy(r)) < 0) {
			free(lines);
			return -ENOMEM;
		}
		lines[0] = line;
		*errors = (struct config_errors){lines, 1};
		return r;
	}
	r = config_parse(file, text, length, ret, errors);
	free(text);
	return r;
}

bool service_has_tcp(const struct service_config *service, enum side side)
{
	size_t count = side == SIDE_CLIENT ? service->listen_count : service->backend_count;

	for (size_t i = 0; i < count; i++)
		if ((side == SIDE_CLIENT ? &service->listen[i] : &service->backends[i].address)->kind != ADDRESS_UNIX)
			return true;
	return false;
}
