/* load: traffic for the benches, as a backend and as its clients. Not a checker of anything (that is tests/load): as little work
 * for each byte as possible, so that what stands between is what is measured.
 *
 *   load backend PORT                   until SIGTERM
 *   load requests PORT PARALLEL COUNT   64 bytes there and back, COUNT times in all
 *   load bulk PORT PARALLEL BYTES       that many bytes in all from the backend
 *   load connections PORT PARALLEL COUNT  connect, 64 bytes there and back, close
 * A client prints the seconds that it took. These two hold their connections until SIGTERM:
 *   load hold PORT COUNT PACE_MS        so many, with 64 bytes there and back on each, once (0) or every so often
 *   load stall PORT COUNT BYTES         so many that each ask for a download and read none of it
 * They print "ready" when all are open, and at the end how many messages a second were answered since. At SIGUSR1 the first says
 * for how many milliseconds one of its connections had to wait for its answer, at most, since it was last told to. A PORT may be
 * ADDRESS:PORT, of IPv4. And what a server does that starts programs itself: load spawn PROGRAM DESCRIPTORS COUNT  so many runs
 * by fork and exec, some at a time, with so many sockets open */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CHUNK = 256 << 10, EVENTS = 256, LOOK_MS = 100, OPEN_US = 500, SPAWNS = 32 };

struct conn {
	int fd;
	uint64_t left;  /* bytes to send (backend) or to receive (client) */
	bool known;     /* backend: the first message has come */
	double asked_s; /* hold: since when it waits for an answer */
};

static char buffer[CHUNK];
static int epoll;
static volatile sig_atomic_t told_to_end, told_to_say;
static double longest_s; /* until an answer came */

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *port)
{
	const char *colon = strchr(port, ':');
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : port))};
	char host[INET_ADDRSTRLEN] = "127.0.0.1";

	if (colon && (size_t)(colon - port) < sizeof host) {
		memcpy(host, port, (size_t)(colon - port));
		host[colon - port] = '\0';
	}
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		fail(port);
	return a;
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events | EPOLLET, .data.ptr = c};
	int on = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("epoll_ctl");
}

static void end(struct conn *c)
{
	close(c->fd);
	free(c);
}

static struct conn *conn_new(int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (fd < 0 || !c)
		fail("a connection");
	c->fd = fd;
	return c;
}

/* The first message says what is wanted: its first eight bytes are the length of a download, or 0 for an echo. */
static void serve(struct conn *c)
{
	ssize_t n;

	for (;;) {
		if (c->left) {
			n = send(c->fd, buffer, c->left < CHUNK ? c->left : CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				return;
			if (n < 0)
				break;
			c->left -= (uint64_t)n;
			if (!c->left)
				shutdown(c->fd, SHUT_WR);
			continue;
		}
		n = recv(c->fd, buffer, CHUNK, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		if (!c->known && n >= MESSAGE)
			memcpy(&c->left, buffer, sizeof c->left);
		c->known = true;
		if (!c->left && send(c->fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
			break;
	}
	end(c);
}

static void backend(const char *port)
{
	struct sockaddr_in at = address(port);
	struct conn *listener = conn_new(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.ptr = NULL};
	int on = 1;

	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener->fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener->fd, 4096) < 0)
		fail("listen");
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener->fd, &e);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1), fd;

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) {
				serve(events[i].data.ptr);
				continue;
			}
			while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
				watch(conn_new(fd), EPOLLIN | EPOLLOUT);
		}
	}
}

static void ask(struct conn *c, uint64_t download)
{
	char message[MESSAGE] = {0};

	memcpy(message, &download, sizeof download);
	if (send(c->fd, message, sizeof message, MSG_NOSIGNAL) != MESSAGE)
		fail("send");
	c->left = download ? download : MESSAGE;
}

static struct conn *open_one(const char *port, uint64_t download)
{
	struct sockaddr_in to = address(port);
	struct conn *c = conn_new(socket(AF_INET, SOCK_STREAM, 0));

	if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
		fail("connect");
	watch(c, EPOLLIN);
	ask(c, download);
	return c;
}

/* Takes what came; true: all that was asked for is there. */
static bool take(struct conn *c)
{
	while (c->left) {
		ssize_t n = recv(c->fd, buffer, c->left < CHUNK ? c->left : CHUNK, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0)
			fail("the stream ended early");
		c->left -= (uint64_t)n;
	}
	return true;
}

static void client(const char *port, uint64_t parallel, uint64_t count, uint64_t download, bool reconnect)
{
	struct epoll_event events[EVENTS];
	uint64_t begun = 0, done = 0;

	for (; begun < parallel && begun < count; begun++)
		open_one(port, download);
	while (done < count) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c->left || !take(c))
				continue;
			done++;
			if (reconnect || download)
				end(c);
			if (begun == count)
				continue;
			begun++;
			if (reconnect)
				open_one(port, download);
			else
				ask(c, 0);
		}
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_sigterm(int number)
{
	(void)number;
	told_to_end = 1;
}

static void on_sigusr1(int number)
{
	(void)number;
	told_to_say = 1;
}

static void say_ready(void)
{
	signal(SIGUSR1, on_sigusr1);
	signal(SIGTERM, on_sigterm);
	puts("ready");
	fflush(stdout);
}

/* Answers that come within timeout_ms; how many. */
static uint64_t answers(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll, events, EVENTS, timeout_ms);
	double now = now_s();
	uint64_t done = 0;

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (!c->left || !take(c))
			continue;
		done++;
		if (now - c->asked_s > longest_s)
			longest_s = now - c->asked_s;
	}
	return done;
}

static void say_longest(struct conn **conns, uint64_t count)
{
	double now = now_s();

	told_to_say = 0; /* first: who has read it may ask again at once */
	for (uint64_t i = 0; i < count; i++)
		if (conns[i]->left && now - conns[i]->asked_s > longest_s)
			longest_s = now - conns[i]->asked_s;
	printf("%.1f\n", longest_s * 1e3);
	fflush(stdout);
	longest_s = 0;
}

/* The kernel asks those who fall silent together together, too, and of more than net.core.netdev_max_backlog packets at once the
 * loopback device loses the rest, each time the same ones. */
static struct conn *open_slowly(const char *port, uint64_t download)
{
	usleep(OPEN_US);
	return open_one(port, download);
}

static struct conn **ready(const char *port, uint64_t count)
{
	struct conn **conns = calloc(count, sizeof *conns);
	uint64_t done = 0;

	for (uint64_t i = 0; i < count; i++) {
		conns[i] = open_slowly(port, 0);
		done += answers(0);
	}
	while (done < count)
		done += answers(-1);
	say_ready();
	return conns;
}

static void hold(const char *port, uint64_t count, uint64_t pace_ms)
{
	struct conn **conns = ready(port, count);
	double began = now_s(), gap_s = (double)pace_ms / 1e3 / (double)count;
	uint64_t done = 0, sent = 0;

	longest_s = 0;
	while (!told_to_end) {
		/* One that has not answered yet misses its turn. */
		for (; pace_ms && began + (double)sent * gap_s <= now_s(); sent++)
			if (!conns[sent % count]->left) {
				conns[sent % count]->asked_s = now_s();
				ask(conns[sent % count], 0);
			}
		done += answers(pace_ms ? 1 : LOOK_MS);
		if (told_to_say)
			say_longest(conns, count);
	}
	printf("%.0f\n", (double)done / (now_s() - began));
}

static void stall(const char *port, uint64_t count, uint64_t bytes)
{
	for (uint64_t i = 0; i < count; i++)
		open_slowly(port, bytes);
	say_ready();
	while (!told_to_end)
		usleep(LOOK_MS * 1000);
	puts("0");
}

static void spawn(const char *program, uint64_t descriptors, uint64_t count)
{
	char *words[] = {(char *)(uintptr_t)program, NULL}, *none[] = {NULL};
	uint64_t begun = 0;

	for (uint64_t i = 0; i < descriptors; i++)
		if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0)
			fail("socket");
	for (uint64_t ended = 0; ended < count; ended++) {
		for (; begun < count && begun - ended < SPAWNS; begun++) {
			pid_t pid = fork();

			if (pid < 0)
				fail("fork");
			if (pid == 0) {
				execve(program, words, none);
				_exit(127);
			}
		}
		wait(NULL);
	}
}

int main(int argc, char **argv)
{
	double began = now_s();
	uint64_t parallel, count;

	epoll = epoll_create1(0);
	if (argc == 3 && strcmp(argv[1], "backend") == 0)
		backend(argv[2]);
	if (argc != 5) {
		fputs("usage: load backend PORT | load requests|bulk|connections|hold|stall PORT PARALLEL COUNT |\n"
		      "       load spawn PROGRAM DESCRIPTORS COUNT\n",
			stderr);
		return 2;
	}
	parallel = strtoull(argv[3], NULL, 10);
	count = strtoull(argv[4], NULL, 10);
	if (strcmp(argv[1], "hold") == 0) {
		hold(argv[2], parallel, count);
		return 0;
	}
	if (strcmp(argv[1], "stall") == 0) {
		stall(argv[2], parallel, count);
		return 0;
	}
	if (strcmp(argv[1], "spawn") == 0)
		spawn(argv[2], parallel, count);
	else if (strcmp(argv[1], "bulk") == 0)
		client(argv[2], parallel, parallel, count / parallel, false);
	else
		client(argv[2], parallel, count, 0, strcmp(argv[1], "connections") == 0);
	printf("%.3f\n", now_s() - began);
	return 0;
}
