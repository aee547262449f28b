#include "steward/log/log.h"

#include "base/clock.h"
#include "steward/log/write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* One log a process: like stderr itself it has no owner. */
static struct {
	enum log_format format; /* never AUTO once open */
	bool under_journald;
	bool connected_lines;
	bool is_socket;
	bool may_block; /* stderr's open file is shared and blocking: ask poll(2) first */
	int fd;
	int journal;
	const char *journal_path;
	uint64_t dropped, dropped_told;
} output = {
	.format = LOG_FORMAT_TEXT, .connected_lines = true, .fd = STDERR_FILENO, .journal = -1, .journal_path = JOURNAL_SOCKET};

/* O_NONBLOCK belongs to the open file, which others share, so a pipe or terminal is opened anew. A regular file never makes
 * us wait for a reader, and an own offset would write over what others wrote. */
static void open_stderr(void)
{
	struct stat st;

	output.fd = STDERR_FILENO;
	output.is_socket = output.may_block = false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	output.is_socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

		output.may_block = fd < 0;
		if (fd >= 0)
			output.fd = fd;
	}
}

static void choose(enum log_format format)
{
	output.format = format != LOG_FORMAT_AUTO ? format : output.under_journald ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
	if (output.format == LOG_FORMAT_JOURNAL && output.journal < 0)
		output.journal = journal_open();
	if (output.format == LOG_FORMAT_JOURNAL && output.journal < 0)
		output.format = LOG_FORMAT_TEXT;
}

void log_open(void)
{
	output.under_journald = journal_is_stream(STDERR_FILENO, getenv("JOURNAL_STREAM"));
	open_stderr();
	/* Until there is a config, what is said may be our last words. journald knows the unit of a stream; that of a datagram it looks
	 * up, and does not find it when the sender is gone. */
	choose(LOG_FORMAT_TEXT);
}

void log_configure(const struct config *config)
{
	output.connected_lines = config->log_connected;
	choose(config->log_format);
}

static bool write_line(const char *line, size_t length)
{
	struct pollfd p = {.fd = output.fd, .events = POLLOUT};
	ssize_t n;

	if (output.may_block && (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)))
		return false;
	do
		n = output.is_socket ? send(output.fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL)
				     : write(output.fd, line, length);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)length;
}

static bool emit(const struct log_record *r)
{
	char line[LOG_LINE_SIZE];
	struct journal_record journal;

	switch (output.format) {
	case LOG_FORMAT_JOURNAL:
		log_record_journal(r, &journal);
		return journal_send(output.journal, output.journal_path, &journal) == 0;
	case LOG_FORMAT_JSON:
		return write_line(line, log_record_json(r, clock_real_us(), line));
	case LOG_FORMAT_AUTO:
	case LOG_FORMAT_TEXT:
		break;
	}
	return write_line(line, log_record_text(r, clock_real_us(), output.under_journald, line));
}

void log_write(const struct log_record *r)
{
	if (output.dropped > output.dropped_told) {
		struct log_record lost;

		log_record_init(&lost, LOG_WARNING, NULL);
		snprintf(lost.message, sizeof lost.message, "%" PRIu64 " log lines could not be written and were dropped",
			output.dropped - output.dropped_told);
		if (emit(&lost))
			output.dropped_told = output.dropped;
	}
	if (!emit(r))
		output.dropped++;
}

bool log_wants(const struct ledger_event *event)
{
	return event->kind != EVENT_CONNECTED || output.connected_lines;
}

uint64_t log_dropped(void)
{
	return output.dropped;
}
