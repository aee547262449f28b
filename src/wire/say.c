#include "wire/say.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 }; /* less than PIPE_BUF, so that lines of several roles never mix */

static struct {
	char who[32];
	bool journal;
	mode_t kind; /* of stderr: S_IFSOCK, S_IFIFO, ... */
	uint64_t dropped, untold;
} voice;

void say_open(const char *who)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st = {0};

	snprintf(voice.who, sizeof voice.who, "%s", who);
	if (fstat(STDERR_FILENO, &st) < 0)
		st.st_mode = 0;
	voice.kind = st.st_mode & S_IFMT;
	/* systemd.exec(5): the variable counts only if stderr is still that very stream. */
	voice.journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && device == st.st_dev && inode == st.st_ino;
}

/* One try, without waiting. stderr is shared with others, so its O_NONBLOCK is not ours to set. */
static bool write_now(const char *line, size_t length)
{
	struct iovec part = {(void *)(uintptr_t)line, length}; /* pwritev2 only reads it */
	struct pollfd poll_stderr = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	if (voice.kind == S_IFSOCK)
		return send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
	if (voice.kind == S_IFIFO) {
		n = pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);
		if (n >= 0 || errno != EOPNOTSUPP)
			return n == (ssize_t)length;
	}
	/* A terminal that was stopped (^S), or a pipe of a kernel that cannot be asked not to wait. */
	if (poll(&poll_stderr, 1, 0) != 1 || !(poll_stderr.revents & POLLOUT))
		return false;
	return write(STDERR_FILENO, line, length) == (ssize_t)length;
}

static const char *priority_word(int priority)
{
	static const char *const words[] = {"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"};

	return words[priority & LOG_PRIMASK];
}

static bool put(int priority, const char *text)
{
	char line[LINE_SIZE], when[32] = "";
	struct timespec now;
	struct tm tm;
	int length;

	if (voice.journal) { /* sd-daemon(3): journald reads <N> as the priority, and knows the time */
		length = snprintf(line, sizeof line - 1, "<%d>%s: %s", priority & LOG_PRIMASK, voice.who, text);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		if (gmtime_r(&now.tv_sec, &tm))
			strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
		length = snprintf(line, sizeof line - 1, "%s.%03ldZ %s %s: %s", when, now.tv_nsec / 1000000,
			priority_word(priority), voice.who, text);
	}
	if (length < 0)
		return false;
	if (length > (int)sizeof line - 2)
		length = (int)sizeof line - 2;
	for (int i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[length++] = '\n';
	return write_now(line, (size_t)length);
}

void say(int priority, const char *format, ...)
{
	char text[LINE_SIZE];
	va_list arguments;
	int saved = errno;

	if (voice.untold) {
		char told[80];

		snprintf(told, sizeof told, "%llu lines could not be written", (unsigned long long)voice.untold);
		if (put(LOG_WARNING, told))
			voice.untold = 0;
	}
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (!put(priority, text)) {
		voice.dropped++;
		voice.untold++;
	}
	errno = saved;
}

uint64_t say_dropped(void)
{
	return voice.dropped;
}
