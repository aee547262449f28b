/* tcpchaos: sessions of random sizes, paces and ends, as their clients or as their backends. See usage() for the command line,
 * plan.h for what a side may do, record.h for what it tells of each session. Prints lines of JSON:
 *   listening  the backend takes connections
 *   progress   asked for by SIGUSR1
 *   result     the last line */
#include "../load/address.h"
#include "../load/tool.h"
#include "peer.h"
#include "record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TICK_MS = 4, EVENTS = 256, STUCK_AFTER_MS = 60000 };

static struct {
	enum side side;
	const char *address, *records;
	struct run run;
	uint64_t sessions, first, parallel;
} options = {.run = {.seed = 1}, .sessions = 1, .first = 1, .parallel = 64};

static struct sockaddr_storage address;
static socklen_t address_length;
static FILE *records;
static struct peer *peers; /* all that are not over */
static uint64_t opened, open_now, stuck;
static int epoll;

static void usage(FILE *to)
{
	fputs("usage: tcpchaos client --connect HOST:PORT --records FILE [options]\n"
	      "       tcpchaos backend --listen HOST:PORT --records FILE [options]\n"
	      "both:   --seed N  --vanish\n"
	      "client: --sessions N  --first ID  --parallel N\n",
		to);
}

static void parse(int argc, char **argv)
{
	static const struct option table[] = {{"connect", 1, NULL, 'c'}, {"listen", 1, NULL, 'c'}, {"records", 1, NULL, 'r'},
		{"seed", 1, NULL, 's'}, {"sessions", 1, NULL, 'n'}, {"first", 1, NULL, 'f'}, {"parallel", 1, NULL, 'p'},
		{"vanish", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.address = optarg;
			break;
		case 'r':
			options.records = optarg;
			break;
		case 's':
			options.run.seed = number(optarg);
			break;
		case 'v':
			options.run.vanishes = true;
			break;
		case 'n':
			options.sessions = number(optarg);
			break;
		case 'f':
			options.first = number(optarg);
			break;
		case 'p':
			options.parallel = number(optarg);
			break;
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc - 1 || !options.address || !options.records) {
		usage(stderr);
		exit(2);
	}
	options.side = strcmp(argv[optind], "client") == 0 ? CLIENT : BACKEND;
	if (address_parse(options.address, &address, &address_length) < 0 || address.ss_family != AF_INET)
		fail("not an address", options.address);
	records = fopen(options.records, "we");
	if (!records)
		fail(options.records, strerror(errno));
}

static void print(const char *event)
{
	printf("{\"event\": \"%s\", \"opened\": %" PRIu64 ", \"open\": %" PRIu64 ", \"stuck\": %" PRIu64 "}\n", event, opened,
		open_now, stuck);
	fflush(stdout);
}

static void add(int fd, uint64_t id)
{
	struct peer *p = peer_new(fd, options.side, &options.run, id);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p};

	if (!p)
		fail("a session", strerror(ENOMEM));
	p->next = peers;
	if (peers)
		peers->previous = p;
	peers = p;
	opened++;
	open_now++;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll", strerror(errno));
}

static void step(struct peer *p)
{
	peer_step(p);
	if (p->phase != PHASE_OVER && now_ms() - p->born_ms > STUCK_AFTER_MS)
		peer_give_up(p);
	if (p->phase != PHASE_OVER)
		return;
	stuck += p->stuck;
	record_write(records, p);
	if (p->previous)
		p->previous->next = p->next;
	else
		peers = p->next;
	if (p->next)
		p->next->previous = p->previous;
	open_now--;
	free(p);
}

static void step_all(void)
{
	for (struct peer *p = peers, *next; p; p = next) {
		next = p->next;
		step(p);
	}
}

/* Where it connects over loopback, each session has an address of its own, by which its line in a log is found. */
static void bind_own_address(int fd, uint64_t id)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 != 127)
		return;
	in.sin_addr.s_addr = htonl(0x7f4d0000u | (uint32_t)(id & 0xffff));
	if (bind(fd, (struct sockaddr *)&in, sizeof in) < 0)
		fail("bind", strerror(errno));
}

static void connect_some(void)
{
	while (opened < options.sessions && open_now < options.parallel && !told_to_end) {
		uint64_t id = options.first + opened;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct plan plan;

		if (fd < 0)
			fail("socket", strerror(errno));
		plan_make(&plan, &options.run, id, CLIENT);
		peer_set_options(fd, &plan);
		bind_own_address(fd, id);
		if (connect(fd, (struct sockaddr *)&address, address_length) < 0 && errno != EINPROGRESS)
			fail("connect", strerror(errno));
		add(fd, id);
	}
}

static void accept_some(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		add(fd, 0);
	if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		fail("accept", strerror(errno));
}

static int start_listening(void)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = {.events = EPOLLIN};

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, address_length) < 0 || listen(fd, 4096) < 0 ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("listen", strerror(errno));
	print("listening");
	return fd;
}

static bool over(void)
{
	return told_to_end || (options.side == CLIENT && opened == options.sessions && !open_now);
}

static void run(int listener)
{
	struct epoll_event events[EVENTS];
	uint64_t tick_ms = 0;

	while (!over()) {
		int n = epoll_wait(epoll, events, EVENTS, TICK_MS);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				peer_note_events(events[i].data.ptr, events[i].events);
			else
				accept_some(listener);
		/* Freed in the second pass only: an event may still point to it. */
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				step(events[i].data.ptr);
		if (now_ms() - tick_ms >= TICK_MS) {
			step_all();
			tick_ms = now_ms();
		}
		if (options.side == CLIENT)
			connect_some();
		if (asked_for_progress) {
			asked_for_progress = 0;
			print("progress");
		}
	}
}

int main(int argc, char **argv)
{

	parse(argc, argv);
	tool_start();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		fail("epoll", strerror(errno));
	run(options.side == BACKEND ? start_listening() : -1);
	while (peers) {
		peer_give_up(peers);
		step(peers);
	}
	if (fclose(records) != 0)
		fail(options.records, strerror(errno));
	print("result");
	return 0;
}
