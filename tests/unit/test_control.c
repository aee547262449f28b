/* The control socket over a pair of sockets: what is asked, what is answered, and what a bad client can do: nothing. */
#include "steward/control/client.h"
#include "steward/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

enum { SLOTS = 4000 };

struct world {
	uv_loop_t loop;
	struct roster roster;
	struct listeners *listeners;
	struct ledger ledger;
	struct control *control;
	int relay;
	int client;
	bool closed, applied;
	enum control_begun begun; /* what the host answers */
	char drained[64];
	int reloads;
	char line[65536];
	size_t used;
};

static void on_acquire(void *context, const struct session_key *key, const struct session_record *record)
{
	(void)context;
	(void)key;
	(void)record;
}

static void on_ended(void *context, const struct session_key *key, const struct session_record *record, bool recovered)
{
	(void)recovered;
	on_acquire(context, key, record);
}

static void on_resolve(void *context, const char *backend)
{
	(void)context;
	(void)backend;
}

static void on_violation(void *context, const struct message_pair *pair)
{
	(void)context;
	(void)pair;
}

static void on_progress(void *context)
{
	(void)context;
}

static void on_closed(void *context)
{
	((struct world *)context)->closed = true;
}

static void on_connected(void *context, const struct session_key *key, const struct session_record *record)
{
	(void)context, (void)key, (void)record;
}

static const struct roster_host roster_host = {
	.on_acquire = on_acquire,
	.on_ended = on_ended,
	.on_connected = on_connected,
	.on_resolve = on_resolve,
	.on_violation = on_violation,
	.on_progress = on_progress,
	.on_closed = on_closed,
};

static json_t *status(void *context)
{
	(void)context;
	return json_pack("{s:b, s:s, s:{s:i}}", "ok", 1, "state", "running", "leases", "held", 3);
}

static struct leases *leases(void *context)
{
	(void)context;
	return NULL;
}

static enum control_begun reload(void *context, bool apply)
{
	struct world *w = context;

	w->reloads++;
	w->applied = apply;
	return w->begun;
}

static enum control_begun drain(void *context, bool drain, const char *what, char error[CONTROL_ERROR_SIZE])
{
	struct world *w = context;

	snprintf(w->drained, sizeof w->drained, "%s %s", drain ? "drain" : "resume", what);
	snprintf(error, CONTROL_ERROR_SIZE, "no such");
	return w->begun;
}

static bool upgrade(void *context, uint32_t *ret_after)
{
	struct world *w = context;

	*ret_after = 4;
	return w->begun == CONTROL_BEGUN;
}

static void ask_acquire(void *context, const struct session_key *key, bool *ret_queued, bool *ret_busy)
{
	(void)context;
	*ret_queued = key->slot == 0;
	*ret_busy = false;
}

static const struct control_host host = {status, leases, reload, drain, upgrade, ask_acquire};

static int dial(struct world *w)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	control_serve(w->control, fds[1]);
	return fds[0];
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct control_options options = {0};
	struct message_pair name = {0, 1};
	char error[CONTROL_ERROR_SIZE], path[64];
	int channel[2], fd = ledger_create(1, 0, 1, SLOTS, (struct ledger_trial){0});

	uv_loop_init(&w->loop);
	w->listeners = listeners_new();
	roster_init(&w->roster, &w->loop, w->listeners, &roster_host, w);
	assert_int_equal(ledger_map(&w->ledger, fd, true), 0);
	assert_int_equal(message_channel(channel), 0);
	w->relay = channel[1];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	assert_int_equal(roster_add(&w->roster, &name, open(path, O_RDONLY | O_CLOEXEC), channel[0]), 0);
	close(fd);
	assert_int_equal(control_open(&w->control, &w->loop, &options, &w->roster, &host, w, error), 0);
	w->client = dial(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	control_close(w->control);
	roster_close(&w->roster);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_true(w->closed);
	roster_free(&w->roster);
	listeners_free(w->listeners);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	ledger_unmap(&w->ledger);
	close(w->relay);
	close(w->client);
	free(w);
	return 0;
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(write(w->client, text, strlen(text)), strlen(text));
}

/* 1: a line is there; 0: not yet; -1: closed. */
static int poll_line(struct world *w)
{
	ssize_t n;

	if (memchr(w->line, '\n', w->used))
		return 1;
	n = read(w->client, w->line + w->used, sizeof w->line - w->used);
	if (n > 0)
		w->used += (size_t)n;
	if (memchr(w->line, '\n', w->used))
		return 1;
	return n == 0 || (n < 0 && errno != EAGAIN) ? -1 : 0;
}

static json_t *hear(struct world *w)
{
	json_t *object;
	size_t length;
	int r = 0;

	LOOP_UNTIL(&w->loop, (r = poll_line(w)) != 0);
	assert_int_equal(r, 1);
	length = (size_t)((char *)memchr(w->line, '\n', w->used) - w->line) + 1;
	object = json_loadb(w->line, length, 0, NULL);
	assert_non_null(object);
	w->used -= length;
	memmove(w->line, w->line + length, w->used);
	return object;
}

static void expect_error(struct world *w, const char *words)
{
	json_t *answer = hear(w);

	assert_true(json_is_false(json_object_get(answer, "ok")));
	if (!strstr(json_string_value(json_object_get(answer, "error")), words))
		fail_msg("%s", json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
}

static void expect_ok(struct world *w)
{
	json_t *answer = hear(w);

	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
}

static void expect_closed(struct world *w)
{
	int r = 0;

	LOOP_UNTIL(&w->loop, (r = poll_line(w)) != 0);
	assert_int_equal(r, -1);
}

static void begin_sessions(struct world *w, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct slot *s = &w->ledger.slots[i];

		s->record.id = (uint64_t)(i + 1) << 6;
		strcpy(s->record.service, i % 2 ? "odd" : "even");
		atomic_store(&s->moved[SIDE_CLIENT], i);
		atomic_store(&s->state, SLOT_RELAYING);
	}
	atomic_store(&w->ledger.header->high_water, count);
}

static void wrong_requests_are_answered_and_the_client_goes_on(void **state)
{
	struct world *w = *state;

	say(w, "nonsense\n\"x\"\n[1]\n{}\n{\"request\":7}\n{\"request\":\"explode\"}\n");
	expect_error(w, "not a JSON object");
	expect_error(w, "not a JSON object");
	for (int i = 0; i < 4; i++)
		expect_error(w, "\"request\" is not one of");
	say(w, "{\"request\":\"kill\"}\n{\"request\":\"kill\",\"id\":\"0x10\"}\n{\"request\":\"kill\",\"id\":"
	       "\"11112222333344445\"}\n");
	for (int i = 0; i < 3; i++)
		expect_error(w, "is no session's id");
	say(w, "{\"request\":\"kill\",\"id\":\"40\",\"now\":3}\n{\"request\":\"kill\",\"id\":\"40\"}\n{\"request\":\"show\","
	       "\"id\":\"40\"}\n");
	expect_error(w, "true or false");
	expect_error(w, "no session 40 lives");
	expect_error(w, "no session 40 lives");
	say(w, "{\"request\":\"sessions\",\"service\":7}\n{\"request\":\"status\",\"request\":\"status\"}\n");
	expect_error(w, "no name of a service");
	expect_error(w, "not a JSON object");
	say(w, "{\"request\":\"sta");
	uv_run(&w->loop, UV_RUN_NOWAIT);
	say(w, "tus\"}\n");
	expect_ok(w);
}

static void a_line_without_end_is_cut_off(void **state)
{
	struct world *w = *state;
	char blanks[CONTROL_LINE_MAX + 1];

	memset(blanks, ' ', CONTROL_LINE_MAX);
	blanks[CONTROL_LINE_MAX] = '\0';
	say(w, blanks);
	expect_error(w, "longer than");
	expect_closed(w);
}

static void sessions_are_listed_one_a_line(void **state)
{
	struct world *w = *state;
	json_t *o;

	begin_sessions(w, 3);
	say(w, "{\"request\":\"sessions\"}\n{\"request\":\"sessions\",\"service\":\"odd\"}\n{\"request\":\"show\",\"id\":\"80\"}"
	       "\n");
	for (int i = 0; i < 3; i++) {
		o = hear(w);
		assert_int_equal(json_integer_value(json_object_get(o, "bytes_to_backend")), i);
		assert_string_equal(json_string_value(json_object_get(o, "state")), "relaying");
		json_decref(o);
	}
	o = hear(w);
	assert_int_equal(json_integer_value(json_object_get(o, "sessions")), 3);
	json_decref(o);
	o = hear(w);
	assert_string_equal(json_string_value(json_object_get(o, "id")), "80");
	json_decref(o);
	expect_ok(w);
	expect_ok(w);
}

static void a_client_that_does_not_read_costs_a_chunk(void **state)
{
	struct world *w = *state;
	struct control_client *client = w->control->clients;
	int size = 4096, lines = 0;
	bool last = false;

	begin_sessions(w, SLOTS);
	setsockopt(w->client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	say(w, "{\"request\":\"sessions\"}\n");
	LOOP_UNTIL(&w->loop, client->writing);
	for (int i = 0; i < 1000; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_true(client->writing);
	assert_in_range(client->out_used, 1, CONTROL_CHUNK + 1024);
	assert_true(client->walk.active);
	/* What ends meanwhile is not listed; when it reads, the rest comes. */
	while (!last) {
		json_t *o = hear(w);

		last = json_object_get(o, "ok") != NULL;
		lines += !last;
		json_decref(o);
	}
	assert_int_equal(lines, SLOTS);
}

static void a_reload_is_answered_when_it_has_ended(void **state)
{
	struct world *w = *state;
	struct report report = {0};
	json_t *o;

	say(w, "{\"request\":\"reload\"}\n");
	expect_error(w, "not now");
	w->begun = CONTROL_BEGUN;
	say(w, "{\"request\":\"reload\"}\n{\"request\":\"status\"}\n");
	LOOP_UNTIL(&w->loop, w->reloads == 2);
	assert_int_equal(poll_line(w), 0);
	report_add(&report, "f:1: x: wrong");
	report_add(&report, "f:2: y: wrong");
	control_reloaded(w->control, false, &report);
	o = hear(w);
	assert_true(json_is_false(json_object_get(o, "ok")));
	assert_int_equal(json_array_size(json_object_get(o, "errors")), 2);
	json_decref(o);
	expect_ok(w);
	report_fini(&report);
	say(w, "{\"request\":\"reload\"}\n");
	LOOP_UNTIL(&w->loop, w->reloads == 3);
	control_reloaded(w->control, true, &report);
	expect_ok(w);
	control_reloaded(w->control, true, &report); /* nobody asks */
	control_reloaded(NULL, true, &report);
}

/* What was read before it asked is no answer to it. */
static void a_reload_in_a_reload_is_answered_by_the_next(void **state)
{
	struct world *w = *state;
	struct report report = {0};

	w->begun = CONTROL_NEXT;
	say(w, "{\"request\":\"reload\",\"apply\":true}\n");
	LOOP_UNTIL(&w->loop, w->reloads == 1);
	assert_true(w->applied);
	control_reloaded(w->control, true, &report);
	control_drained(w->control, true, &report);
	for (int i = 0; i < 5; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_int_equal(poll_line(w), 0);
	control_reloaded(w->control, true, &report);
	expect_ok(w);
	say(w, "{\"request\":\"reload\",\"apply\":1}\n");
	expect_error(w, "true or false");
}

static void a_drain_is_answered_when_it_has_ended(void **state)
{
	struct world *w = *state;
	struct report report = {0};

	say(w, "{\"request\":\"drain\"}\n");
	expect_error(w, "SERVICE/BACKEND");
	say(w, "{\"request\":\"drain\",\"what\":\"x\"}\n");
	expect_error(w, "no such");
	w->begun = CONTROL_BEGUN;
	say(w, "{\"request\":\"resume\",\"what\":\"plc/a:1\"}\n");
	LOOP_UNTIL(&w->loop, strcmp(w->drained, "resume plc/a:1") == 0);
	control_reloaded(w->control, true, &report); /* another's */
	for (int i = 0; i < 5; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_int_equal(poll_line(w), 0);
	control_drained(w->control, true, &report);
	expect_ok(w);
}

static void who_shuts_its_side_still_gets_its_answer(void **state)
{
	struct world *w = *state;

	begin_sessions(w, 1);
	say(w, "{\"request\":\"sessions\"}\n");
	shutdown(w->client, SHUT_WR);
	json_decref(hear(w));
	expect_ok(w);
	expect_closed(w);
}

static void there_are_so_many_clients_and_no_more(void **state)
{
	struct world *w = *state;
	int fds[CONTROL_CLIENTS_MAX];
	char byte;

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = dial(w);
	assert_int_equal(w->control->client_count, CONTROL_CLIENTS_MAX);
	assert_int_equal(read(fds[CONTROL_CLIENTS_MAX - 1], &byte, 1), 0);
	close(fds[0]);
	LOOP_UNTIL(&w->loop, w->control->client_count == CONTROL_CLIENTS_MAX - 1);
	for (int i = 1; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	LOOP_UNTIL(&w->loop, w->control->client_count == 1);
}

/* The two connections of a session over loopback: ours by number in the slot only, the peers' in our hands. */
struct connections {
	int listener, peer[SIDES], ours[SIDES];
};

static void take_name(int fd, struct endpoint *ret, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof address;

	assert_int_equal(name(fd, (struct sockaddr *)&address, &length), 0);
	endpoint_from_sockaddr(ret, &address);
}

static void begin_connected(struct world *w, struct connections *c)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct slot *slot = &w->ledger.slots[0];
	socklen_t length = sizeof at;

	c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(c->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(c->listener, 2), 0);
	assert_int_equal(getsockname(c->listener, (struct sockaddr *)&at, &length), 0);
	begin_sessions(w, 1);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		c->peer[s] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(c->peer[s], (struct sockaddr *)&at, sizeof at), 0);
		c->ours[s] = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(c->ours[s] >= 0);
		slot->fd[s] = 1000; /* of the relay's table */
		take_name(c->ours[s], s == SIDE_CLIENT ? &slot->record.local : &slot->record.source, getsockname);
		take_name(c->ours[s], s == SIDE_CLIENT ? &slot->record.client : &slot->record.backend, getpeername);
	}
}

static void end_connected(struct connections *c)
{
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		close(c->peer[s]);
		close(c->ours[s]);
	}
	close(c->listener);
}

static void expect_relay_asked(struct world *w)
{
	struct message message;

	message_drain(w->relay);
	say(w, "{\"request\":\"probe\",\"id\":\"40\"}\n");
	LOOP_UNTIL(&w->loop, message_receive(w->relay, &message, ~(message_set)0) == 1);
	assert_int_equal(message.header.kind, MESSAGE_PROBE);
	assert_int_equal(message.body.session.id, 0x40);
	assert_int_equal(message.body.session.slot, 0);
}

static void expect_outcome(struct world *w, const char *client, const char *backend)
{
	json_t *o = hear(w);

	assert_true(json_is_true(json_object_get(o, "ok")));
	assert_string_equal(json_string_value(json_object_get(o, "client")), client);
	assert_string_equal(json_string_value(json_object_get(o, "backend")), backend);
	assert_true((json_integer_value(json_object_get(o, "client_ms")) > 0) == (strcmp(client, "alive") == 0));
	json_decref(o);
}

static void a_probe_waits_for_a_sign_of_life_of_each(void **state)
{
	struct world *w = *state;
	struct connections c;

	roster_start(&w->roster);
	begin_connected(w, &c);
	assert_int_equal(write(c.peer[SIDE_CLIENT], "before", 6), 6);
	expect_relay_asked(w);
	/* What came before the question is no answer to it. */
	for (int i = 0; i < 10; i++) {
		usleep(10000);
		uv_run(&w->loop, UV_RUN_NOWAIT);
	}
	assert_true(w->control->clients->probe.side[SIDE_CLIENT].pending);
	assert_int_equal(write(c.peer[SIDE_CLIENT], "x", 1), 1);
	LOOP_UNTIL(&w->loop, !w->control->clients->probe.side[SIDE_CLIENT].pending);
	assert_int_equal(poll_line(w), 0);
	assert_int_equal(write(c.peer[SIDE_BACKEND], "x", 1), 1);
	expect_outcome(w, "alive", "alive");
	/* The next request of that client is none the worse for it. */
	say(w, "{\"request\":\"status\"}\n");
	expect_ok(w);
	end_connected(&c);
}

static void a_probe_ends_with_what_it_asks(void **state)
{
	struct world *w = *state;
	struct slot *slot = &w->ledger.slots[0];
	struct connections c;

	roster_start(&w->roster);
	begin_connected(w, &c);
	expect_relay_asked(w);
	slot->fd[SIDE_CLIENT] = -1;
	LOOP_UNTIL(&w->loop, !w->control->clients->probe.side[SIDE_CLIENT].pending);
	assert_int_equal(poll_line(w), 0);
	atomic_store(&slot->state, SLOT_FREE);
	expect_outcome(w, "gone", "gone");

	/* A unix socket is not asked, and who has only such is answered at once. */
	atomic_store(&slot->state, SLOT_RELAYING);
	slot->fd[SIDE_CLIENT] = 1000;
	slot->record.local = slot->record.client = (struct endpoint){.family = AF_UNIX};
	expect_relay_asked(w);
	assert_int_equal(write(c.peer[SIDE_BACKEND], "x", 1), 1);
	expect_outcome(w, "not asked (unix socket)", "alive");
	slot->fd[SIDE_BACKEND] = -1;
	say(w, "{\"request\":\"probe\",\"id\":\"40\"}\n{\"request\":\"probe\",\"id\":\"80\"}\n");
	expect_outcome(w, "not asked (unix socket)", "not asked (not connected)");
	expect_error(w, "no session 80 lives");

	tcp_view_close(&w->control->view);
	w->control->view.error = -EPROTONOSUPPORT;
	say(w, "{\"request\":\"probe\",\"id\":\"40\"}\n");
	expect_error(w, "modprobe tcp_diag");
	end_connected(&c);
}

static void who_probes_may_leave(void **state)
{
	struct world *w = *state;
	int other = dial(w);
	struct connections c;

	roster_start(&w->roster);
	begin_connected(w, &c);
	/* Both ask; one has left before there is an answer, and the other gets it. */
	assert_int_equal(write(other, "{\"request\":\"probe\",\"id\":\"40\"}\n", 30), 30);
	close(other);
	expect_relay_asked(w);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		assert_int_equal(write(c.peer[s], "x", 1), 1);
	expect_outcome(w, "alive", "alive");
	LOOP_UNTIL(&w->loop, w->control->client_count == 1);
	/* And one that has not been answered when the control ends. */
	expect_relay_asked(w);
	assert_true(w->control->clients->probe.active);
	end_connected(&c);
}

static void the_socket_is_never_open_wider_than_asked(void **state)
{
	struct world *w = *state;
	char directory[] = "/tmp/test_control.XXXXXX", path[64], error[CONTROL_ERROR_SIZE];
	struct control_options options = {.path = path, .mode = 0600};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct control *second, *control;
	struct stat st;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/control.sock", directory);
	assert_int_equal(control_open(&control, &w->loop, &options, &w->roster, &host, w, error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(control_open(&second, &w->loop, &options, &w->roster, &host, w, error), -EADDRINUSE);
	assert_non_null(strstr(error, "another process listens there"));
	strcpy(to.sun_path, path);
	close(w->client);
	w->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(w->client, (struct sockaddr *)&to, sizeof to), 0);
	fcntl(w->client, F_SETFL, O_NONBLOCK);
	say(w, "{\"request\":\"leases\"}\n");
	expect_ok(w);
	control_close(control);
	assert_int_equal(access(path, F_OK), -1);
	options.group = "no-such-group";
	assert_int_equal(control_open(&second, &w->loop, &options, &w->roster, &host, w, error), -ENOENT);
	assert_non_null(strstr(error, "there is no group no-such-group"));
	rmdir(directory);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(wrong_requests_are_answered_and_the_client_goes_on),
		T(a_line_without_end_is_cut_off),
		T(sessions_are_listed_one_a_line),
		T(a_client_that_does_not_read_costs_a_chunk),
		T(a_reload_is_answered_when_it_has_ended),
		T(a_reload_in_a_reload_is_answered_by_the_next),
		T(a_drain_is_answered_when_it_has_ended),
		T(who_shuts_its_side_still_gets_its_answer),
		T(there_are_so_many_clients_and_no_more),
		T(a_probe_waits_for_a_sign_of_life_of_each),
		T(a_probe_ends_with_what_it_asks),
		T(who_probes_may_leave),
		T(the_socket_is_never_open_wider_than_asked),
	};

	log_to_nowhere();
	signal(SIGPIPE, SIG_IGN); /* as the steward does */
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
