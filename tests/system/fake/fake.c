#include "fake.h"

#include "wire/inherit.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void fake_say(const char *format, ...)
{
	char line[512];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line, sizeof line - 1, format, arguments);
	va_end(arguments);
	line[n] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n + 1) < 0)
		_exit(1);
}

const char *fake_setting(const char *path, const char *key, const char *otherwise)
{
	static char line[512], value[512];
	FILE *f = fopen(path, "re");
	size_t length = strlen(key);

	snprintf(value, sizeof value, "%s", otherwise);
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, key, length) == 0 && line[length] == '=')
			snprintf(value, sizeof value, "%s", line + length + 1);
	}
	if (f)
		fclose(f);
	return value;
}

int fake_wait(int channel, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = channel, .events = POLLIN}, {.fd = INHERIT_PARENT, .events = POLLIN}};

	poll(fds, 2, timeout_ms);
	if (fds[1].revents) {
		fake_say("%d: the supervisor has died", (int)getpid());
		_exit(0);
	}
	return fds[0].revents != 0;
}

uint64_t fake_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
