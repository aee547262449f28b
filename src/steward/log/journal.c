#include "steward/log/journal.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

void journal_add(struct journal_record *r, const char *name, const char *value, size_t length)
{
	size_t name_length = strlen(name);
	uint64_t size = htole64((uint64_t)length);
	char *to = r->bytes + r->used;

	/* NAME \n length value \n is good for any value; NAME=value \n is what people see in a trace. */
	if (name_length + length + sizeof size + 2 > sizeof r->bytes - r->used) {
		r->full = true;
		return;
	}
	memcpy(to, name, name_length);
	to += name_length;
	if (memchr(value, '\n', length)) {
		*to++ = '\n';
		memcpy(to, &size, sizeof size);
		to += sizeof size;
	} else {
		*to++ = '=';
	}
	memcpy(to, value, length);
	to += length;
	*to++ = '\n';
	r->used = (size_t)(to - r->bytes);
}

int journal_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int journal_send(int fd, const char *path, const struct journal_record *r)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	ssize_t n;

	if (length >= sizeof to.sun_path)
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, length + 1);
	do
		n = sendto(fd, r->bytes, r->used, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

bool journal_is_stream(int fd, const char *journal_stream)
{
	struct stat st;
	uint64_t device, inode;
	int end = 0;

	if (!journal_stream || sscanf(journal_stream, "%" SCNu64 ":%" SCNu64 "%n", &device, &inode, &end) != 2 ||
		journal_stream[end])
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}
