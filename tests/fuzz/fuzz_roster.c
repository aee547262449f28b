/* What a relay says to the steward, with descriptors of all kinds: no claim on another relay's session comes through, no address
 * that is not of an accepted socket, and no descriptor stays open. */
#include "steward_world.h"

#include "wire/message.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct fuzz_target fuzz_target = {.runs = 4000, .size_max = 400};

enum {
	KIND_ACCEPTED,
	KIND_CONNECTED,
	KIND_LISTENS,
	KIND_UNCONNECTED,
	KIND_DATAGRAM,
	KIND_UNIX_LISTENS,
	KIND_FILE,
	KIND_PIPE,
	KIND_COUNT
};

static int kinds[KIND_COUNT];
static struct endpoint client;

static void begin(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage name = {0};
	socklen_t length = sizeof to;
	int ends[2];

	kinds[KIND_LISTENS] = socket(AF_INET, SOCK_STREAM, 0);
	FUZZ_MUST(bind(kinds[KIND_LISTENS], (struct sockaddr *)&to, sizeof to) == 0 && listen(kinds[KIND_LISTENS], 1) == 0);
	FUZZ_MUST(getsockname(kinds[KIND_LISTENS], (struct sockaddr *)&to, &length) == 0);
	kinds[KIND_CONNECTED] = socket(AF_INET, SOCK_STREAM, 0);
	FUZZ_MUST(connect(kinds[KIND_CONNECTED], (struct sockaddr *)&to, sizeof to) == 0);
	length = sizeof name;
	kinds[KIND_ACCEPTED] = accept(kinds[KIND_LISTENS], (struct sockaddr *)&name, &length);
	endpoint_from_sockaddr(&client, &name);
	kinds[KIND_UNCONNECTED] = socket(AF_INET, SOCK_STREAM, 0);
	kinds[KIND_DATAGRAM] = socket(AF_INET, SOCK_DGRAM, 0);
	FUZZ_MUST(connect(kinds[KIND_DATAGRAM], (struct sockaddr *)&to, sizeof to) == 0);
	kinds[KIND_UNIX_LISTENS] = socket(AF_UNIX, SOCK_STREAM, 0);
	FUZZ_MUST(bind(kinds[KIND_UNIX_LISTENS], &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)) == 0 &&
		  listen(kinds[KIND_UNIX_LISTENS], 1) == 0);
	kinds[KIND_FILE] = open("/dev/null", O_RDWR);
	FUZZ_MUST(pipe(ends) == 0);
	kinds[KIND_PIPE] = ends[0];
	close(ends[1]);
}

static void send_with(int to, const void *bytes, size_t size, const int *fds, size_t count)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (count) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const enum message_kind of_relay[] = {MESSAGE_RELAY_HELLO, MESSAGE_PLAN_TAKEN, MESSAGE_LISTENING, MESSAGE_ACQUIRE,
	MESSAGE_ENDED, MESSAGE_EVENTS, MESSAGE_RESOLVE, MESSAGE_FULL, MESSAGE_RECLAIMED, MESSAGE_KILL, MESSAGE_STOP, MESSAGE_LENT};

/* A claim of a session of the ledger, or nearly so. */
static void say_claim(struct steward_world *w, struct fuzz_input *in)
{
	unsigned how = (unsigned)fuzz_take(in, 1), index = (unsigned)fuzz_take(in, 1) % OVERLAY_SLOTS;
	struct slot *slot = &w->overlay->ledger.slots[index];
	struct {
		struct message_header header;
		struct message_session body;
	} m = {{.version = MESSAGE_VERSION, .kind = (uint16_t)(how & 1 ? MESSAGE_ACQUIRE : MESSAGE_ENDED)},
		{.id = slot->record.id, .slot = index}};
	int fd = kinds[fuzz_take(in, 1) % KIND_COUNT];

	if (how & 2)
		m.body.id ^= fuzz_take(in, 1);
	if (how & 4)
		m.body.slot = (uint32_t)fuzz_take(in, 4);
	if (how & 8)
		atomic_store(&slot->state, (uint32_t)fuzz_take(in, 1) % (SLOT_STATES + 1));
	send_with(w->relay, &m, sizeof m, &fd, how & 1);
}

static void say_anything(struct steward_world *w, struct fuzz_input *in)
{
	struct message m = {.header = {.version = MESSAGE_VERSION}};
	unsigned how = (unsigned)fuzz_take(in, 1);
	size_t size = (size_t)fuzz_take(in, 1) % 48;
	int fds[3];

	m.header.kind =
		(uint16_t)(how & 1 ? of_relay[fuzz_take(in, 1) % (sizeof of_relay / sizeof of_relay[0])] : fuzz_take(in, 2));
	for (size_t i = 0; i < size; i++)
		((uint8_t *)&m.body)[i] = (uint8_t)fuzz_take(in, 1);
	for (int i = 0; i < 3; i++)
		fds[i] = kinds[(how >> 4) % KIND_COUNT];
	send_with(w->relay, &m, how & 2 ? size : sizeof m.header + size, fds, (how >> 2) & 3);
}

static void hear(struct steward_world *w)
{
	struct message m;

	while (message_receive(w->relay, &m, ~(message_set)0) == 1)
		message_close_fds(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = {bytes, size};
	struct overlay *overlay = steward_world_overlay();
	struct steward_world w;
	unsigned before;

	if (!kinds[0]) {
		begin();
		steward_world_open(&w, overlay, false); /* libuv's first loop opens what it never closes */
		steward_world_close(&w);
	}
	before = fuzz_descriptors();
	overlay_apply(overlay, &(struct fuzz_input){0}, NULL, 0);
	steward_world_open(&w, overlay, false);
	while (in.left) {
		unsigned acquires = w.acquires;
		unsigned what = (unsigned)fuzz_take(&in, 1);

		if (what % 3)
			say_claim(&w, &in);
		else
			say_anything(&w, &in);
		if (what & 64)
			continue;
		steward_world_turn(&w);
		if (w.acquires != acquires)
			FUZZ_MUST(memcmp(&w.acquired.client, &client, sizeof client) == 0);
		if (what & 128)
			hear(&w);
	}
	steward_world_turn(&w);
	FUZZ_MUST(!w.acquires || memcmp(&w.acquired.client, &client, sizeof client) == 0);
	steward_world_close(&w);
	FUZZ_MUST(fuzz_descriptors() == before);
	return 0;
}
