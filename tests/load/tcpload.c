/* tcpload: many checked connections, as their client or as their backend. See usage() for the command line, request.h for the
 * kinds of connections, tally.h for the result. What happens is printed as lines of JSON:
 *   listening  the backend takes connections (with its port)
 *   started    the client takes signals
 *   idle       the client has all connections open, and all of them stalled
 *   progress   asked for by SIGUSR1
 * SIGUSR2 brings it to its end in order: no more connections are opened, and none is paced any more.
 *   result     the last line; exit status 0 if nothing was wrong, else 1 */
#include "address.h"
#include "conn.h"
#include "pattern.h"
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct range {
	uint64_t low, high;
};

struct options {
	const char *address;
	uint64_t connections, parallel, rate; /* opened a second, 0: as fast as may be */
	struct range up, down, sizes;
	unsigned weight[KIND_COUNT];
	uint32_t pace_ms;
	uint64_t seed;
	uint64_t deadline_s;
	int send_buffer, receive_buffer, backlog;
};

enum { TICK_MS = 5, IDLE_WAIT_MS = 100, EVENTS = 256 };

static struct options options = {
	.connections = 1, .parallel = 64, .sizes = {1, 262144}, .deadline_s = 300, .seed = 1, .backlog = 4096};
static struct engine engine;
static struct sockaddr_storage address;
static socklen_t address_length;
static uint64_t started;

static void usage(FILE *to)
{
	fputs("usage: tcpload client --connect ADDRESS [options]\n"
	      "       tcpload backend --listen ADDRESS [options]\n"
	      "ADDRESS: 127.0.0.1:PORT, [::1]:PORT or unix:PATH\n"
	      "both:    --seed N  --send-buffer BYTES  --receive-buffer BYTES\n"
	      "backend: --backlog N\n"
	      "client:  --connections N  --parallel N  --up BYTES[:BYTES]  --down BYTES[:BYTES]  --sizes BYTES:BYTES\n"
	      "         --kinds WORD[=WEIGHT],...  --pace MS  --rate N  --deadline SECONDS  --message TEXT\n"
	      "kinds:\n",
		to);
	for (unsigned k = 0; k < KIND_COUNT; k++)
		fprintf(to, "         %s\n", kind_word((enum kind)k));
}

static struct range range(char *text)
{
	char *colon = strchr(text, ':');
	struct range r;

	if (colon)
		*colon = '\0';
	r.low = number(text);
	r.high = colon ? number(colon + 1) : r.low;
	if (r.high < r.low)
		fail("the range ends before it begins", text);
	return r;
}

static void kinds(char *text)
{
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		char *equals = strchr(word, '=');
		enum kind kind;

		if (equals)
			*equals = '\0';
		if (kind_parse(word, &kind) < 0)
			fail("no such kind", word);
		options.weight[kind] = equals ? (unsigned)number(equals + 1) : 1;
	}
}

static void parse(int argc, char **argv)
{
	static const struct option table[] = {{"connect", 1, NULL, 'c'}, {"listen", 1, NULL, 'c'}, {"connections", 1, NULL, 'n'},
		{"parallel", 1, NULL, 'p'}, {"up", 1, NULL, 'u'}, {"down", 1, NULL, 'd'}, {"sizes", 1, NULL, 'z'},
		{"kinds", 1, NULL, 'k'}, {"pace", 1, NULL, 'a'}, {"seed", 1, NULL, 's'}, {"deadline", 1, NULL, 't'},
		{"message", 1, NULL, 'm'}, {"send-buffer", 1, NULL, 'S'}, {"receive-buffer", 1, NULL, 'R'},
		{"backlog", 1, NULL, 'b'}, {"rate", 1, NULL, 'r'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;
	unsigned sum = 0;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.address = optarg;
			break;
		case 'n':
			options.connections = number(optarg);
			break;
		case 'p':
			options.parallel = number(optarg);
			break;
		case 'u':
			options.up = range(optarg);
			break;
		case 'd':
			options.down = range(optarg);
			break;
		case 'z':
			options.sizes = range(optarg);
			break;
		case 'k':
			kinds(optarg);
			break;
		case 'a':
			options.pace_ms = (uint32_t)number(optarg);
			break;
		case 's':
			options.seed = number(optarg);
			break;
		case 't':
			options.deadline_s = number(optarg);
			break;
		case 'm':
			engine.message = optarg;
			break;
		case 'S':
			options.send_buffer = (int)number(optarg);
			break;
		case 'R':
			options.receive_buffer = (int)number(optarg);
			break;
		case 'b':
			options.backlog = (int)number(optarg);
			break;
		case 'r':
			options.rate = number(optarg);
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (!options.address || optind != argc - 1) {
		usage(stderr);
		exit(2);
	}
	if (!options.sizes.low || options.sizes.high > 262144)
		fail("message sizes are 1 to 262144", "--sizes");
	if (address_parse(options.address, &address, &address_length) < 0)
		fail("not an address", options.address);
	for (unsigned k = 0; k < KIND_COUNT; k++)
		sum += options.weight[k];
	if (!sum)
		options.weight[KIND_FIN] = 1;
	if (options.weight[KIND_MESSAGE] && !engine.message)
		fail("the kind needs --message", "message");
}

static uint64_t drawn(uint64_t id, unsigned salt, struct range r)
{
	return r.low + mix64(options.seed * 31 + id * 0x9e3779b97f4a7c15u + salt) % (r.high - r.low + 1);
}

static struct request request_of(uint64_t id)
{
	struct request r = {.magic = REQUEST_MAGIC,
		.id = options.seed << 32 | id,
		.up = drawn(id, 1, options.up),
		.down = drawn(id, 2, options.down),
		.size_min = (uint32_t)options.sizes.low,
		.size_max = (uint32_t)options.sizes.high,
		.pace_ms = options.pace_ms};
	unsigned sum = 0, at;

	for (unsigned k = 0; k < KIND_COUNT; k++)
		sum += options.weight[k];
	at = (unsigned)drawn(id, 3, (struct range){0, sum - 1});
	while (at >= options.weight[r.kind])
		at -= options.weight[r.kind++];
	r.cut = drawn(id, 4, (struct range){0, r.kind == KIND_CLIENT_RST ? r.up : r.down});
	return r;
}

static void set_options(int fd)
{
	int on = 1;

	if (address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (options.send_buffer)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof options.send_buffer);
	if (options.receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
}

static int open_socket(int flags)
{
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		fail("socket", strerror(errno));
	set_options(fd);
	return fd;
}

/* How many may have been opened by now. */
static uint64_t due(void)
{
	uint64_t paced = options.rate ? (now_ms() - started) * options.rate / 1000 : options.connections;

	return paced < options.connections ? paced : options.connections;
}

/* Opens connections until `parallel` are open or all that are due were. */
static void open_more(struct engine *e)
{
	uint64_t wanted = due();

	while (e->tally.opened < wanted && e->tally.open < options.parallel && !told_to_end && !e->hurried) {
		struct request request = request_of(e->tally.opened);
		int fd = open_socket(SOCK_NONBLOCK);
		int rc = connect(fd, (struct sockaddr *)&address, address_length);

		if (rc < 0 && errno == EAGAIN) { /* unix: the listener's queue is full */
			close(fd);
			return;
		}
		if (rc < 0 && errno != EINPROGRESS) {
			e->tally.opened++;
			tally_fail(&e->tally, (enum kind)request.kind, LOAD_REFUSED, "connect: %s", strerror(errno));
			close(fd);
			continue;
		}
		rc = conn_start(e, fd, rc == 0, &request);
		if (rc < 0)
			fail("a connection", strerror(-rc));
	}
}

static void accept_some(int listener)
{
	for (int i = 0; i < EVENTS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int rc;

		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
			return;
		if (fd < 0)
			fail("accept", strerror(errno));
		set_options(fd);
		rc = conn_start(&engine, fd, true, NULL);
		if (rc < 0)
			fail("a connection", strerror(-rc));
	}
}

static int start_listening(void)
{
	int on = 1, fd = open_socket(SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN};
	struct sockaddr_storage bound;
	socklen_t length = sizeof bound;
	unsigned port = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, address_length) < 0 || listen(fd, options.backlog) < 0)
		fail("listen", strerror(errno));
	if (epoll_ctl(engine.epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll", strerror(errno));
	getsockname(fd, (struct sockaddr *)&bound, &length);
	if (bound.ss_family == AF_INET)
		port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	else if (bound.ss_family == AF_INET6)
		port = ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
	printf("{\"event\": \"listening\", \"port\": %u}\n", port);
	fflush(stdout);
	return fd;
}

static bool over(void)
{
	if (told_to_end)
		return true;
	if (engine.role == ROLE_BACKEND)
		return false;
	return ((engine.tally.opened == options.connections || engine.hurried) && !engine.tally.open) ||
	       now_ms() - started > options.deadline_s * 1000;
}

static void run(int listener)
{
	struct epoll_event events[EVENTS];
	bool idle_told = false;

	while (!over()) {
		int n = epoll_wait(engine.epoll, events, EVENTS, engine.waiting || options.rate ? TICK_MS : IDLE_WAIT_MS);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				conn_on_events(&engine, events[i].data.ptr, events[i].events);
			else
				accept_some(listener);
		}
		engine_tick(&engine);
		if (engine.role == ROLE_CLIENT)
			open_more(&engine);
		if (engine.role == ROLE_CLIENT && !idle_told && engine.idle == options.connections) {
			idle_told = true;
			tally_print(&engine.tally, "idle", now_ms() - started);
		}
		engine.hurried = told_to_hurry;
		if (asked_for_progress) {
			asked_for_progress = 0;
			tally_print(&engine.tally, "progress", now_ms() - started);
		}
	}
}

int main(int argc, char **argv)
{
	const char *message;
	enum role role;
	int listener = -1, rc;

	if (argc > 1 && strcmp(argv[1], "client") == 0)
		role = ROLE_CLIENT;
	else if (argc > 1 && strcmp(argv[1], "backend") == 0)
		role = ROLE_BACKEND;
	else {
		usage(stderr);
		return 2;
	}
	parse(argc, argv);
	message = engine.message;
	rc = engine_init(&engine, role, options.seed);
	if (rc < 0)
		fail("epoll", strerror(-rc));
	engine.message = message;
	tool_start();
	started = now_ms();
	if (role == ROLE_BACKEND)
		listener = start_listening();
	else
		puts("{\"event\": \"started\"}");
	fflush(stdout);
	run(listener);
	engine_end_all(&engine);
	tally_print(&engine.tally, "result", now_ms() - started);
	return tally_clean(&engine.tally) ? 0 : 1;
}
