#include "relay/relay.h"

#include "base/clock.h"
#include "relay/adopt.h"
#include "relay/bridge.h"
#include "relay/door.h"
#include "relay/give.h"
#include "relay/hand_over.h"
#include "relay/kill_point.h"
#include "relay/link.h"
#include "relay/own.h"
#include "relay/probe.h"
#include "relay/reclaim.h"
#include "relay/retire.h"
#include "relay/review.h"
#include "relay/ring.h"
#include "relay/session.h"
#include "relay/table.h"
#include "relay/take_over.h"
#include "relay/verify.h"
#include "wire/inherit.h"
#include "wire/liveness.h"
#include "wire/say.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/syslog.h>
#include <unistd.h>

enum {
	EVENTS_AT_ONCE = 256,
	BEAT_MS = 250, /* a small part of the least hang_after */
	SERVE_TURNS = 4,
};

static uint64_t watch_data(enum watch_kind kind, uint64_t index)
{
	return (uint64_t)kind << 56 | index;
}

static int watch(struct relay *relay, int how, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};

	return epoll_ctl(relay->epoll, how, fd, &e) < 0 ? -errno : 0;
}

static int watch_session(struct relay *relay, int how, uint32_t slot, enum side side, int fd)
{
	return watch(relay, how, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		watch_data(WATCH_SESSION, (uint64_t)slot << 1 | side));
}

int relay_watch_session(struct relay *relay, uint32_t slot, enum side side, int fd)
{
	return watch_session(relay, EPOLL_CTL_ADD, slot, side, fd);
}

int relay_watch_adopted(struct relay *relay, uint32_t slot, enum side side, int fd)
{
	int r = watch_session(relay, EPOLL_CTL_MOD, slot, side, fd);

	return r == -ENOENT ? relay_watch_session(relay, slot, side, fd) : r;
}

int relay_watch_listener(struct relay *relay, uint32_t listener, int fd)
{
	return watch(relay, EPOLL_CTL_ADD, fd, EPOLLIN, watch_data(WATCH_LISTENER, listener));
}

void relay_watch_loop(struct relay *relay, bool on)
{
	watch(relay, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, uv_backend_fd(&relay->loop), EPOLLIN, watch_data(WATCH_LOOP, 0));
}

static void beat(struct relay *relay)
{
	atomic_store_explicit(&relay->header->beat_ns, clock_mono_ns(), memory_order_relaxed);
}

static void on_beat(uv_timer_t *timer)
{
	beat(timer->data);
	own_check_some(timer->data);
	probe_end_due(timer->data);
	link_try_again(timer->data);
	bridges_beat(timer->data);
}

static void on_holder_death(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	uv_poll_stop(poll);
	relay_become_holder(poll->data);
}

static int watch_pidfd(struct relay *relay, uv_poll_t *poll, int fd, uv_poll_cb on_death)
{
	int r = uv_poll_init(&relay->loop, poll, fd);

	poll->data = relay;
	return r < 0 ? r : uv_poll_start(poll, UV_READABLE, on_death);
}

static int watch_family(struct relay *relay)
{
	int holder = (int)syscall(SYS_pidfd_open, relay->birth->holder_pid, 0), r;

	r = parent_start(relay, holder);
	if (r < 0)
		return r;
	/* Dead already, and its number perhaps someone else's: then we were given another parent. */
	if (holder < 0 || getppid() != relay->birth->holder_pid)
		relay_become_holder(relay);
	return watch_pidfd(relay, &relay->holder_watch, holder, on_holder_death);
}

static int open_tables(struct relay *relay)
{
	const char *number = strrchr(relay->title, ' ');

	relay->index = number ? (uint32_t)strtoul(number, NULL, 10) : CENSUS_RELAYS;
	if (relay->index >= CENSUS_RELAYS || ledger_map(&relay->ledger, HOLDER_LEDGER, true) < 0 ||
		verify_header(&relay->ledger, relay->index) < 0)
		return -EUCLEAN;
	relay->header = relay->ledger.header;
	relay->census = census_map(HOLDER_CENSUS, &relay->clients);
	if (!relay->census)
		return -errno;
	relay->rto_max_ms = relay->header->no_rto_max ? 0 : liveness_kernel_rto_max_ms();
	relay->sessions_max = relay->ledger.slot_count;
	relay->sessions = calloc(relay->ledger.slot_count, sizeof *relay->sessions);
	relay->buffer = malloc(RELAY_BUFFER);
	if (vacancies_init(&relay->vacancies, relay->ledger.slot_count) < 0 || !relay->sessions || !relay->buffer)
		return -ENOMEM;
	/* Untouched until used, like the ledger itself: high_water bounds what is written here. */
	for (uint32_t i = 0; i < atomic_load(&relay->header->high_water); i++)
		relay->sessions[i].index = i;
	return 0;
}

/* An heir can still refuse what it does not understand, and the giver goes on. */
static int open_plan(struct relay *relay)
{
	int r = relay->header->plan_fd < 0 ? 0 : plan_map(&relay->plan, relay->header->plan_fd);

	if (r == 0 || relay->birth->inheritance)
		return r;
	say(LOG_ERR, "the plan that a predecessor left is unusable: %s", strerror(-r));
	relay->header->plan_fd = -1;
	return 0;
}

/* From here on this relay alone writes to the ledger and moves bytes; -ESTALE: another one does. */
static int become_owner(struct relay *relay)
{
	const struct inheritance *inheritance = relay->birth->inheritance;
	struct ledger_header *header = relay->header;
	struct hand_over_packet taken = {0};

	/* From now on it lives on if its holder dies, and takes its place. */
	prctl(PR_SET_PDEATHSIG, 0);
	kill_point();
	if (!ledger_owner_move(header, relay->birth->owner, getpid()))
		return -ESTALE;
	kill_point();
	atomic_store(&header->ready, 0);
	snprintf(header->program, sizeof header->program, "%s", TCPWARDEN_VERSION);
	beat(relay);
	if (!inheritance)
		return 0;
	atomic_store(&header->handed_over, inheritance->number);
	kill_point();
	/* Should it not arrive, the giver finds out by itself when its time is over. */
	hand_over_send(inheritance->giver, &taken, HAND_OVER_TAKEN, NULL);
	return 0;
}

/* What the ledger says is looked at, and all that it does not list is dealt with, before anything is opened for good. */
static int take_stock(struct relay *relay, struct adopt_fresh *fresh)
{
	struct table table;
	int r = table_init(&table, relay);

	if (r < 0)
		return r;
	r = verify_ledger(relay, &table);
	table_list(&table, relay);
	if (r == 0)
		adopt_sort(relay, &table, fresh);
	table_fini(&table);
	return r;
}

static int start(struct relay *relay)
{
	struct adopt_fresh fresh = {0};
	int r = open_tables(relay);

	if (r < 0)
		return r;
	kill_point_arm(relay->header->kill_one_in);
	r = open_plan(relay);
	if (r == 0)
		r = become_owner(relay);
	if (r < 0)
		return r;
	atomic_fetch_add(&relay->header->starts, 1);
	ring_adopt(relay);
	r = take_stock(relay, &fresh);
	if (r == 0)
		r = give_init(relay);
	if (r < 0)
		return r;
	if (relay->epoll < 0)
		relay->epoll = epoll_create1(0); /* as all that matters, it is open over an exec */
	if (relay->epoll < 0)
		return -errno;
	r = uv_loop_init(&relay->loop);
	if (r < 0)
		return r;
	relay_watch_loop(relay, true);
	wheel_init(&relay->wheel, relay->now_ms);
	relay->run_tail = &relay->run_head;
	uv_timer_init(&relay->loop, &relay->beat);
	relay->beat.data = relay;
	uv_timer_start(&relay->beat, on_beat, BEAT_MS, BEAT_MS);
	r = watch_family(relay);
	if (r < 0)
		return r;
	/* The link comes first: what is adopted may have something to say. */
	r = link_start(relay, HOLDER_STEWARD);
	if (r < 0)
		return r;
	if (relay->plan.header)
		doors_apply_plan(relay);
	adopt_sessions(relay, &fresh);
	bridges_start(relay);
	if (relay->plan.header)
		review_begin(relay);
	return 0;
}

static void on_due(void *context, struct wheel_entry *entry)
{
	session_due(context, (struct session *)entry);
}

static void run_queue(struct relay *relay)
{
	struct session *session = relay->run_head;

	/* What is queued from here on has its turn after the sockets were asked again. */
	relay->run_head = NULL;
	relay->run_tail = &relay->run_head;
	while (session) {
		struct session *next = session->run_next;

		session->queued = false;
		session_run(relay, session);
		session = next;
	}
}

/* Whatever a predecessor has put into the set: NULL, if there never was one. */
static struct session *session_at(struct relay *relay, uint64_t slot)
{
	struct session *session = slot < relay->ledger.slot_count ? &relay->sessions[slot] : NULL;

	return session && session->index == slot ? session : NULL;
}

static bool dispatch(struct relay *relay, const struct epoll_event *events, int count)
{
	bool loop_due = false;

	for (int i = 0; i < count; i++) {
		uint64_t data = events[i].data.u64, index = data & (((uint64_t)1 << 56) - 1);
		struct session *session;
		bool both = i + 1 < count && events[i + 1].data.u64 == (data ^ 1); /* sides of one session */

		switch ((enum watch_kind)(data >> 56)) {
		case WATCH_LOOP:
			loop_due = true;
			break;
		case WATCH_LISTENER:
			if (index < LEDGER_LISTENERS)
				door_accept(relay, (uint32_t)index);
			break;
		case WATCH_SESSION:
			session = session_at(relay, index >> 1);
			if (!session)
				break;
			session->events[index & 1] = events[i].events;
			if (!both)
				session_run(relay, session);
			break;
		}
	}
	return loop_due;
}

void relay_serve(struct relay *relay)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n;

	for (int i = 0; i < SERVE_TURNS; i++) {
		n = epoll_wait(relay->epoll, events, EVENTS_AT_ONCE, 0);
		relay->now_ms = clock_mono_ms();
		if (n > 0)
			dispatch(relay, events, n); /* the loop's own event comes again */
		if (relay->run_head)
			run_queue(relay);
		if (n < EVENTS_AT_ONCE)
			break;
	}
	beat(relay);
}

static int sooner(int a_ms, int b_ms)
{
	return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static int wait_ms(struct relay *relay)
{
	int loop_ms;

	if (relay->run_head || relay->reviewing || give_is_due(relay))
		return 0;
	uv_update_time(&relay->loop);
	loop_ms = uv_backend_timeout(&relay->loop);
	loop_ms = sooner(loop_ms, wheel_wait_ms(&relay->wheel, relay->now_ms));
	if (relay->reclaims)
		loop_ms = sooner(loop_ms, reclaim_wait_ms(relay));
	return relay->doors_paused ? sooner(loop_ms, 100) : loop_ms;
}

static void turn(struct relay *relay)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n = epoll_wait(relay->epoll, events, EVENTS_AT_ONCE, wait_ms(relay));
	bool loop_due;

	relay->now_ms = clock_mono_ms();
	loop_due = n > 0 ? dispatch(relay, events, n) : true;
	if (relay->run_head)
		run_queue(relay);
	if (relay->wheel.count)
		wheel_turn(&relay->wheel, relay->now_ms, on_due, relay);
	if (relay->reclaims)
		reclaim_turn(relay);
	if (relay->reviewing)
		review_go_on(relay);
	give_turn(relay);
	doors_resume(relay);
	/* libuv's part of the work: its timers when they are due, and its watchers, which it arms only in uv_run. */
	if (loop_due || relay->loop_touched || uv_backend_timeout(&relay->loop) == 0) {
		relay->loop_touched = false;
		uv_run(&relay->loop, UV_RUN_NOWAIT);
	}
}

static void take_title(struct relay *relay)
{
	char *role = strstr(relay->title, "holder");

	/* "holder 0" becomes "relay 0" in place, for ps. */
	if (role) {
		memmove(role + strlen("relay"), role + strlen("holder"), strlen(role + strlen("holder")) + 1);
		memcpy(role, "relay", strlen("relay"));
	}
	prctl(PR_SET_NAME, "tcpw-relay");
}

int relay_run(const struct relay_birth *birth, char *title)
{
	static struct relay relay;
	int r;

	relay.title = title;
	relay.birth = birth;
	relay.now_ms = clock_mono_ms();
	take_title(&relay);
	say_open(strchr(title, ' ') ? strchr(title, ' ') + 1 : "relay");
	signal(SIGPIPE, SIG_IGN);
	r = start(&relay);
	if (r == -ESTALE) {
		say(LOG_INFO, "another relay owns these sessions");
		return 0;
	}
	if (r < 0) {
		say(LOG_ERR, "cannot start: %s", strerror(-r));
		return r == -EUCLEAN ? RELAY_LEDGER_DAMAGED : 1;
	}
	atomic_store(&relay.header->ready, 1);
	dup2(STDIN_FILENO, HOLDER_FORMER); /* this program can run: it is not going to give way */
	/* Before the first sleep: libuv arms its watchers here. */
	uv_run(&relay.loop, UV_RUN_NOWAIT);
	while (!parent_orphan_is_done(&relay) && !retire_is_done(&relay))
		turn(&relay);
	return 0;
}

void relay_become_holder(struct relay *relay)
{
	char *role = strstr(relay->title, "relay"), title[64];
	char *argv[] = {title, NULL};

	snprintf(title, sizeof title, "tcpwarden: holder%s", role ? role + strlen("relay") : "");
	say(LOG_WARNING, "the holder is dead, taking its place");
	/* exec parts shared descriptor tables, but there is no one left to share ours. What must not be lost is open over exec.
	 */
	execv("/proc/self/exe", argv);
	say(LOG_ERR, "cannot become the holder: %s", strerror(errno));
}
