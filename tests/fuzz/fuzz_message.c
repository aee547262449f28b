/* A datagram that someone sent: nothing comes through but what is permitted and whole, and no descriptor stays open that was not
 * handed over. */
#include "fuzz.h"

#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MOST = 5, BYTES_MOST = 6000 };

const struct fuzz_target fuzz_target = {.runs = 20000, .size_max = BYTES_MOST};

static const struct {
	size_t size;
	int fds;
} kinds[MESSAGE_KINDS] = {
#define M(NAME, member, count, asks) [MESSAGE_##NAME] = {sizeof(((union message_body *)0)->member), count},
	MESSAGES(M)
#undef M
};

struct said {
	uint8_t bytes[sizeof(struct message_header) + BYTES_MOST];
	size_t size;
	int fds;
};

/* Some are right but for their body, some are nearly so, the rest is anything. */
static void make(struct said *said, struct fuzz_input *in)
{
	unsigned how = (unsigned)fuzz_take(in, 1), kind = (unsigned)fuzz_take(in, 1) % (MESSAGE_KINDS + 1);
	struct message_header header = {.version = MESSAGE_VERSION, .kind = (uint16_t)kind};

	said->fds = (int)(fuzz_take(in, 1) % FDS_MOST);
	said->size = in->left < BYTES_MOST ? in->left : BYTES_MOST;
	memset(said->bytes, 0, sizeof said->bytes);
	if (how & 1) {
		memcpy(said->bytes, in->at, said->size);
		return;
	}
	memcpy(said->bytes, &header, sizeof header);
	memcpy(said->bytes + sizeof header, in->at, said->size);
	said->size += sizeof header;
	if ((how & 2) || kind >= MESSAGE_KINDS)
		return;
	said->size = sizeof header + kinds[kind].size;
	if (how & 4)
		said->size += how & 8 ? 1 : -1;
	if (how & 16)
		said->fds = kinds[kind].fds;
}

/* What is sent along. No unix socket: one that lies in itself is let go by the kernel's collector, in its own time. */
static int any;

static void say(int to, const struct said *said)
{
	union {
		char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)said->bytes, said->size};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (said->fds) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)said->fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)said->fds * sizeof(int));
		for (int i = 0; i < said->fds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &any, sizeof any);
	}
	FUZZ_MUST(sendmsg(to, &msg, 0) == (ssize_t)said->size);
}

static bool is_right(const struct said *said, message_set permitted)
{
	struct message_header header;

	if (said->size < sizeof header)
		return false;
	memcpy(&header, said->bytes, sizeof header);
	return header.version == MESSAGE_VERSION && header.kind != MESSAGE_NONE && header.kind < MESSAGE_KINDS &&
	       (permitted & message_bit(header.kind)) && said->size == sizeof header + kinds[header.kind].size &&
	       said->fds == kinds[header.kind].fds;
}

static void hear(int channel, const struct said *said, message_set permitted)
{
	struct message m;
	int r = message_receive(channel, &m, permitted);

	FUZZ_MUST(r == (is_right(said, permitted) ? 1 : -EBADMSG));
	FUZZ_MUST(message_name(m.header.kind) != NULL);
	for (int i = 0; i < MESSAGE_FDS_MAX; i++) {
		FUZZ_MUST((m.fds[i] >= 0) == (r == 1 && i < said->fds));
		FUZZ_MUST(m.fds[i] < 0 || (fcntl(m.fds[i], F_GETFD) & FD_CLOEXEC));
	}
	if (r == 1)
		FUZZ_MUST(memcmp(&m.body, said->bytes + sizeof m.header, kinds[m.header.kind].size) == 0);
	message_close_fds(&m);
	FUZZ_MUST(message_receive(channel, &m, permitted) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct said said;
	struct fuzz_input in = {bytes, size};
	message_set permitted = fuzz_take(&in, 8);
	struct message m;
	unsigned before = fuzz_descriptors();
	int channel[2];

	any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	FUZZ_MUST(any >= 0 && message_channel(channel) == 0);
	make(&said, &in);
	say(channel[1], &said);
	hear(channel[0], &said, permitted);
	say(channel[1], &said);
	say(channel[1], &said);
	message_drain(channel[0]);
	FUZZ_MUST(message_receive(channel[0], &m, permitted) == 0);
	FUZZ_MUST(fuzz_descriptors() == before + 3);
	close(channel[1]);
	FUZZ_MUST(message_receive(channel[0], &m, permitted) == -ECONNRESET);
	close(channel[0]);
	close(any);
	FUZZ_MUST(fuzz_descriptors() == before);
	return 0;
}
