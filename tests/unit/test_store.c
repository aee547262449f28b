/* The store: what is durable and when, what a damaged, newer or locked database does, and a disk that takes nothing. */
#include "base/clock.h"
#include "quiet_log.h"
#include "steward/lease/ended.h"
#include "steward/lease/record.h"
#include "steward/lease/store.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[96], error[MESSAGE_TEXT_SIZE];
static uv_loop_t loop;
static struct store *store;
static int durable_calls, rows;
static char last_row[256];

static void on_durable(void *context, struct store_item *item)
{
	(void)context;
	assert_true(item->durable <= item->asked);
	durable_calls++;
}

static void on_lost(void *context)
{
	(void)context;
}

static void on_row(void *context, uint64_t fence, const char *record)
{
	(void)context;
	(void)fence;
	rows++;
	snprintf(last_row, sizeof last_row, "%s", record);
}

static const struct store_callbacks callbacks = {on_durable, on_lost};

static int try_open(void)
{
	int r = store_open(&store, &loop, directory, &callbacks, NULL, error);
	if (!r) {
		rows = durable_calls = 0;
		assert_int_equal(store_load(store, on_row, NULL), 0);
	}
	return r;
}

static void open_store(void)
{
	if (try_open())
		fail_msg("%s", error);
}

static void close_store(void)
{
	store_close(store);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void settle(const struct store_item *item)
{
	uint64_t deadline_ns = uv_hrtime() + 10000000000;
	while (item->durable < item->asked && uv_hrtime() < deadline_ns)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(item->durable, item->asked);
}

static int setup(void **state)
{
	(void)state;
	quiet_log_clear();
	uv_loop_init(&loop);
	strcpy(directory, "/tmp/store-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/leases.db", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", directory);
	return uv_loop_close(&loop) || system(command);
}

static void put_and_remove(void **state)
{
	(void)state;
	open_store();
	assert_true(store_is_new(store));
	struct stat stat_;
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
	uint64_t first = store_next_fence(store), second = store_next_fence(store);
	assert_true(second > first && first > 1600000000000000);
	struct store_item item = {.fence = first}, other = {.fence = second};
	store_write(store, &item, strdup("one"));
	store_write(store, &other, strdup("two"));
	store_write(store, &other, strdup("three"));
	settle(&other);
	store_write(store, &item, NULL);
	settle(&item);
	close_store();

	open_store();
	assert_false(store_is_new(store));
	assert_int_equal(rows, 1);
	assert_string_equal(last_row, "three");
	close_store();
}

/* The clock went back and the rows are gone: fences still only grow. */
static void fences_grow(void **state)
{
	(void)state;
	open_store();
	struct store_item item = {.fence = 1};
	store_write(store, &item, strdup("x"));
	store_next_fence(store);
	settle(&item);
	close_store();
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), 0);
	assert_int_equal(sqlite3_exec(db, "UPDATE fence SET last = 9000000000000000000", NULL, NULL, NULL), 0);
	sqlite3_close(db);
	open_store();
	uint64_t fence = store_next_fence(store);
	assert_int_equal(fence, 9000000000000000001u);
	store_write(store, &item, NULL);
	settle(&item);
	close_store();
	open_store();
	assert_int_equal(store_next_fence(store), fence + 1);
	close_store();
}

/* What is asked for while a commit runs goes into the next, however much it is. */
static void batches(void **state)
{
	(void)state;
	enum { MANY = 10000 };
	open_store();
	struct store_item *items = calloc(MANY, sizeof *items);
	for (int i = 0; i < MANY; i++) {
		items[i].fence = (uint64_t)i + 1;
		store_write(store, &items[i], strdup("row"));
	}
	for (int i = 0; i < MANY; i++)
		settle(&items[i]);
	assert_int_equal(durable_calls, MANY);
	struct store_item late = {.fence = MANY + 1}, busy = {.fence = MANY + 2};
	store_write(store, &busy, strdup("row"));
	store_write(store, &late, strdup("row"));
	assert_true(store_withdraw(store, &late));
	assert_false(store_withdraw(store, &busy));
	settle(&busy);
	close_store();
	open_store();
	assert_int_equal(rows, MANY + 1);
	close_store();
	free(items);
}

static void damage(long offset, const char *bytes)
{
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	fseek(file, offset, SEEK_SET);
	fputs(bytes, file);
	fclose(file);
}

static void corrupt(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		open_store();
		struct store_item item = {.fence = 5};
		store_write(store, &item, strdup("row"));
		settle(&item);
		close_store();
		damage(round ? 4096 : 0, "certainly not what SQLite would have written here");
		quiet_log_clear();
		open_store();
		assert_true(quiet_log_has("set aside"));
		assert_true(store_is_new(store));
		assert_int_equal(rows, 0);
		close_store();
	}
	char command[160];
	snprintf(command, sizeof command, "test $(ls %s.corrupt-* | wc -l) -ge 2", path);
	assert_int_equal(system(command), 0);
}

static void database_run(const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), 0);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void newer(void **state)
{
	(void)state;
	open_store();
	close_store();
	database_run("PRAGMA user_version=3");
	assert_int_equal(try_open(), -EPROTO);
	assert_non_null(strstr(error, "newer"));
	assert_int_equal(access(path, F_OK), 0);
}

/* The first version's database keeps its rows, and gets what it lacks. */
static void older(void **state)
{
	(void)state;
	database_run(
		"CREATE TABLE lease (fence INTEGER PRIMARY KEY, record TEXT NOT NULL);"
		"CREATE TABLE fence (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);"
		"INSERT INTO fence VALUES (1, 7000000000000000000); INSERT INTO lease VALUES (5, 'row'); PRAGMA user_version=1");
	open_store();
	assert_false(quiet_log_has("set aside"));
	assert_int_equal(rows, 1);
	assert_string_equal(last_row, "row");
	assert_int_equal(store_next_fence(store), 7000000000000000001);
	close_store();
	database_run("INSERT INTO ended (at_us, service, client, record) VALUES (1, '', '', '')");
}

static struct ended *ended(const char *service, uint8_t host, uint64_t at_us)
{
	struct lease_record record = {.fence = at_us,
		.session = {.client = {.family = AF_INET, .port = 7, .ip = {192, 0, 2, host}},
			.reason = {.who = WHO_CLIENT, .how = HOW_CLOSED}}};
	snprintf(record.session.service, sizeof record.session.service, "%s", service);
	return ended_new(&record, at_us);
}

static struct store_question *answered;

/* Who hears an answer may write, and ask again, at once. */
static struct store_item *write_then;

static void on_answer(struct store_question *question)
{
	answered = question;
	if (write_then)
		store_write(store, write_then, strdup("after"));
	write_then = NULL;
}

/* What the history says: how many, and the first of them. */
static size_t ask(const char *service, const char *client, uint32_t most)
{
	struct store_question *question = calloc(1, sizeof *question);
	snprintf(question->query.service, sizeof question->query.service, "%s", service);
	snprintf(question->query.client, sizeof question->query.client, "%s", client);
	question->query.most = most;
	question->on_done = on_answer;
	answered = NULL;
	store_ask(store, question);
	while (!answered)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(answered->error, 0);
	size_t count = answered->count;
	snprintf(last_row, sizeof last_row, "%s", count ? answered->texts[0] : "");
	store_question_free(answered);
	return count;
}

static void history(void **state)
{
	(void)state;
	enum { MANY = HISTORY_MAX + 50 };
	open_store();
	assert_int_equal(ask("", "", 10), 0);
	uint64_t now_us = clock_real_us();
	struct store_item *items = calloc(MANY, sizeof *items);
	for (int i = 0; i < MANY; i++) {
		items[i].fence = (uint64_t)i + 1;
		store_write(store, &items[i], strdup("row"));
	}
	for (int i = 0; i < MANY; i++)
		settle(&items[i]);
	for (int i = 0; i < MANY; i++)
		store_remove(store, &items[i], ended(i % 2 ? "odd" : "even", (uint8_t)(i % 100), now_us + (uint64_t)i));
	settle(&items[MANY - 1]);
	assert_int_equal(ask("", "", UINT32_MAX), HISTORY_MAX);
	assert_int_equal(ask("odd", "", UINT32_MAX), HISTORY_MAX / 2);
	assert_int_equal(ask("odd", "192.0.2.7", UINT32_MAX), HISTORY_MAX / 100);
	assert_int_equal(ask("even", "192.0.2.7", UINT32_MAX), 0);
	assert_int_equal(ask("", "", 7), 7);
	assert_non_null(strstr(last_row, "\"client\":\"192.0.2.49:7\""));
	assert_non_null(strstr(last_row, "\"reason\":\"client.closed\""));
	close_store();
	free(items);

	open_store();
	assert_int_equal(rows, 0);
	assert_int_equal(ask("", "", 7), 7);

	/* What is a month old goes with the next that comes. */
	close_store();
	database_run("UPDATE ended SET at_us = 1600000000000000");
	open_store();
	struct store_item item = {.fence = 5};
	store_write(store, &item, strdup("row"));
	settle(&item);
	store_remove(store, &item, ended("odd", 1, now_us));
	settle(&item);
	assert_int_equal(ask("", "", UINT32_MAX), 1);

	struct store_item before = {.fence = 6}, after = {.fence = 7};
	store_write(store, &before, strdup("before"));
	write_then = &after;
	assert_int_equal(ask("", "", 1), 1);
	settle(&before);
	settle(&after);
	assert_int_equal(before.durable + after.durable, 2);

	/* An asker that goes away, and a question that is not answered before the end. */
	for (int i = 0; i < 2; i++) {
		struct store_question *question = calloc(1, sizeof *question);
		question->query.most = 1;
		store_ask(store, question);
	}
	close_store();
}

/* What keeps the history from being written keeps no lease from its end. */
static void history_gives_way(void **state)
{
	(void)state;
	open_store();
	struct store_item item = {.fence = 5};
	store_write(store, &item, strdup("row"));
	settle(&item);
	close_store();
	database_run("CREATE TRIGGER full BEFORE INSERT ON ended BEGIN SELECT RAISE(ABORT, 'no'); END");
	open_store();
	store_remove(store, &item, ended("odd", 1, clock_real_us()));
	settle(&item);
	assert_int_equal(store_error(store), 0);
	assert_int_equal(ask("", "", 1), 0);
	close_store();
	open_store();
	assert_int_equal(rows, 0);
	close_store();
}

static void only_one(void **state)
{
	(void)state;
	open_store();
	struct store_item item = {.fence = 5};
	store_write(store, &item, strdup("row"));
	settle(&item);
	/* In a process of its own: locks of one process do not keep out the same. */
	char command[256];
	snprintf(command, sizeof command, "/proc/%d/exe %s", (int)getpid(), path);
	int status = system(command);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SQLITE_BUSY);
	close_store();
}

static void no_directory(void **state)
{
	(void)state;
	struct store *none;
	assert_int_not_equal(store_open(&none, &loop, "/nonexistent", &callbacks, NULL, error), 0);
	assert_non_null(strstr(error, "/nonexistent/leases.db"));
}

static void no_space(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	open_store();
	struct store_item item = {.fence = 5}, other = {.fence = 6};
	store_write(store, &item, strdup("old"));
	settle(&item);
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = 1;
	setrlimit(RLIMIT_FSIZE, &limit);
	store_write(store, &item, strdup("middle"));
	while (!store_error(store))
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(quiet_log_has("cannot write"));
	store_write(store, &item, strdup("new"));
	store_write(store, &other, strdup("new"));
	assert_int_equal(item.durable, 1);
	limit.rlim_cur = before;
	setrlimit(RLIMIT_FSIZE, &limit);
	settle(&item);
	settle(&other);
	assert_int_equal(store_error(store), 0);
	assert_true(quiet_log_has("can be written again"));
	close_store();
	open_store();
	assert_int_equal(rows, 2);
	assert_string_equal(last_row, "new");
	close_store();
}

/* Every field comes back, bytes that are no UTF-8 too. */
static void records(void **state)
{
	(void)state;
	char why[] = "exited with 1 \xff", *command[] = {"/hook", "a\xff\xc3\xa9 b\n\"", NULL}, *environment[] = {"K=\x80", NULL},
	     *variables[] = {"A=\xfe", NULL};
	uint32_t groups[] = {4, UINT32_MAX};
	struct lease_record record = {
		.tree = UINT64_MAX,
		.key = {1, 2, 3, 0xfedcba9876543210},
		.state = LEASE_RELEASING,
		.unknown = true,
		.ended = true,
		.connected = {.command = command, .directory = "/", .umask = -1},
		.release = {.command = command,
			.environment = environment,
			.directory = "/d\xe4",
			.user = {true, 1001, 1002, groups, 2},
			.umask = 022,
			.timeout_ms = 1234},
		.hook = {.pid = 7, .start_ticks = 8, .boot = "boot"},
		.variables = variables,
		.route = {.family = AF_INET6, .port = 9, .scope = 4, .ip = {1, [15] = 255}},
		.attempts = 3,
		.acquired_us = 1600000000000000,
		.ended_us = UINT64_MAX,
		.why = why,
		.session = {.id = 0xfedcba9876543210,
			.service = "s",
			.bytes = {1, UINT64_MAX},
			.undelivered = {3, 4},
			.started_us = 5,
			.ended_ms = 6,
			.reason = {WHO_CLIENT, HOW_RESET, OPERATION_SEND, SLOT_RELAYING, 104}},
	};
	char *text = lease_record_encode(&record);
	struct lease_record back;
	assert_int_equal(lease_record_decode(&back, text), 0);
	char *again = lease_record_encode(&back);
	assert_string_equal(text, again);
	assert_string_equal(back.release.command[1], command[1]);
	assert_string_equal(back.release.environment[0], environment[0]);
	assert_string_equal(back.release.directory, "/d\xe4");
	assert_true(hook_user_is(&back.release.user, &record.release.user) && !back.connected.user.other);
	assert_string_equal(back.variables[0], variables[0]);
	assert_memory_equal(&back.key, &record.key, sizeof record.key);
	assert_memory_equal(&back.route, &record.route, sizeof record.route);
	assert_memory_equal(&back.session.reason, &record.session.reason, sizeof record.session.reason);
	assert_true(back.session.bytes[1] == UINT64_MAX && back.hook.start_ticks == 8 && back.release.umask == 022);
	assert_true(back.acquired_us == record.acquired_us && back.ended_us == record.ended_us);
	assert_string_equal(back.why, why);
	lease_record_fini(&back);
	free(text);
	free(again);

	/* As the first version wrote them. */
	static const struct {
		const char *was;
		enum lease_state is;
	} old[] = {
		{"\"state\":\"acquiring\",\"unknown\":false", LEASE_INTENT},
		{"\"state\":\"held\",\"unknown\":false", LEASE_HELD},
		{"\"state\":\"held\",\"unknown\":true", LEASE_UNKNOWN},
		{"\"state\":\"releasing\",\"unknown\":true", LEASE_RELEASING},
	};
	for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
		char row[128];
		snprintf(row, sizeof row, "{\"version\":1,%s,\"session\":{},\"service\":\"s\"}", old[i].was);
		assert_int_equal(lease_record_decode(&back, row), 0);
		assert_int_equal(back.state, old[i].is);
		lease_record_fini(&back);
	}

	static const char *const wrong[] = {"", "{", "[]", "null", "{}", "{\"version\":3}",
		"{\"version\":1,\"state\":\"odd\",\"session\":{}}", "{\"version\":2,\"state\":\"gone\",\"session\":{}}",
		"{\"version\":2,\"state\":\"acquiring\",\"session\":{}}",
		"{\"version\":1,\"state\":\"held\",\"session\":{},\"service\":\"s\",\"release\":{\"command\":[]}}",
		"{\"version\":1,\"state\":\"held\",\"session\":{},\"service\":\"s\",\"release\":{\"command\":[1]}}",
		"{\"version\":2,\"state\":\"held\",\"session\":{},\"service\":\"s\","
		"\"release\":{\"command\":[\"/a\"],\"directory\":\"/\",\"user\":[1]}}",
		"{\"version\":2,\"state\":\"held\",\"session\":{},\"service\":\"s\","
		"\"release\":{\"command\":[\"/a\"],\"directory\":\"/\",\"user\":[1,-1]}}"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(lease_record_decode(&back, wrong[i]), -EINVAL);
}

/* As another process: what a write comes to. */
static int write_to(const char *file)
{
	sqlite3 *db;
	int code = sqlite3_open(file, &db);
	if (!code)
		code = sqlite3_exec(db, "DELETE FROM lease", NULL, NULL, NULL);
	sqlite3_close(db);
	return code;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return write_to(argv[1]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(put_and_remove),
		TEST(fences_grow),
		TEST(batches),
		TEST(corrupt),
		TEST(newer),
		TEST(older),
		TEST(history),
		TEST(history_gives_way),
		TEST(only_one),
		TEST(no_directory),
		TEST(no_space),
		TEST(records),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	quiet_log_clear();
	return failed;
}
