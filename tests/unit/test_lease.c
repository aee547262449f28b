/* Leases: every row of the table of outcomes, what comes twice, and what a successor finds. */
#include "lease_fixture.h"
#include "quiet_log.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define TAKE "echo take $TCPWARDEN_LEASE $TCPWARDEN_FENCE >>$J; "
#define GIVE                                                                                                                     \
	"echo give $TCPWARDEN_LEASE $TCPWARDEN_FENCE $TCPWARDEN_ACQUIRED recovered=$TCPWARDEN_RECOVERED "                        \
	"attempt=$TCPWARDEN_ATTEMPT "                                                                                            \
	"reason=$TCPWARDEN_REASON >>$J; "

static struct fixture f;

static struct lease_counts counts(void)
{
	return leases_counts(f.leases);
}

static bool empty(void)
{
	struct lease_counts c = counts();
	return !c.acquiring && !c.held && !c.releasing;
}

static void start(const char *acquire, const char *release)
{
	quiet_log_clear();
	fixture_open(&f, acquire, release);
	fixture_start(&f);
}

static void acquire(unsigned session)
{
	fixture_acquire(&f, session);
	fixture_until(&f, f.verdicts[session]);
}

static void end(unsigned session)
{
	fixture_end(&f, session);
	fixture_until(&f, f.durables[session]);
}

static void assert_refused(unsigned session, enum who who, enum how how)
{
	assert_int_equal(f.verdict[session].verdict, VERDICT_REFUSE);
	assert_string_equal(who_word(f.verdict[session].reason.who), who_word(who));
	assert_string_equal(how_word(f.verdict[session].reason.how), how_word(how));
}

static void held_and_released(void **state)
{
	(void)state;
	start(TAKE "echo SEAT=7; echo backend=192.0.2.9:502",
		GIVE "echo $TCPWARDEN_VAR_SEAT $TCPWARDEN_CLIENT $TCPWARDEN_CLIENT_PORT $TCPWARDEN_LOCAL $TCPWARDEN_LOCAL_PORT "
		     "$TCPWARDEN_BACKEND "
		     "$TCPWARDEN_BACKEND_PORT $TCPWARDEN_OPERATION $TCPWARDEN_ERRNO $TCPWARDEN_BYTES_TO_BACKEND "
		     "$TCPWARDEN_BYTES_TO_CLIENT "
		     "$TCPWARDEN_UNDELIVERED_TO_BACKEND $TCPWARDEN_UNDELIVERED_TO_CLIENT $TCPWARDEN_DURATION_MS $TCPWARDEN_EVENT "
		     "$TCPWARDEN_SERVICE $TCPWARDEN_SESSION >>$J");
	acquire(10);
	assert_int_equal(f.verdict[10].verdict, VERDICT_GO);
	assert_true(f.verdict[10].fence > 0);
	assert_int_equal(f.verdict[10].route.port, 502);
	assert_int_equal(counts().held, 1);
	end(10);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "take"), 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	assert_int_equal(fixture_count(&f, "yes recovered=0 attempt=1 reason=client.reset"), 1);
	assert_int_equal(
		fixture_count(&f, "7 192.0.2.7 4000 ::1 80 198.51.100.3 9000 receive 104 11 22 33 44 2500 release seats a\n"), 1);
	fixture_close(&f);
}

/* Its session goes to another relay, and to yet another before the first move is on disk. */
static void goes_along(void **state)
{
	struct session_key at[3] = {fixture_key(1), fixture_key(1), fixture_key(1)};

	(void)state;
	at[1].relay = 4;
	at[2].relay = 5;
	start(TAKE, GIVE);
	acquire(1);
	leases_moved(f.leases, &at[0], &at[1]);
	leases_moved(f.leases, &at[0], &at[1]); /* said again */
	leases_moved(f.leases, &at[1], &at[2]);
	assert_int_equal(f.durables[1], 0);
	fixture_until(&f, f.durables[1] == 2);
	leases_moved(f.leases, &at[1], &at[2]);
	fixture_until(&f, f.durables[1] == 3);
	/* Under the former key it is nobody's. */
	leases_end(f.leases, &at[1], &f.slot[1].record, false);
	fixture_until(&f, f.durables[1] == 4);
	assert_int_equal(counts().held, 1);
	f.slot[1].state = SLOT_RELAYING;
	fixture_crash(&f);
	fixture_start(&f);
	assert_int_equal(counts().held, 1);
	leases_end(f.leases, &at[2], &f.slot[1].record, false);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "take"), 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_close(&f);
}

static void asked_twice(void **state)
{
	(void)state;
	start(TAKE, GIVE);
	fixture_acquire(&f, 1);
	fixture_acquire(&f, 1);
	fixture_until(&f, f.verdicts[1]);
	uint64_t fence = f.verdict[1].fence;
	fixture_acquire(&f, 1);
	fixture_until(&f, f.verdicts[1] == 2);
	assert_int_equal(f.verdict[1].fence, fence);
	end(1);
	fixture_end(&f, 1);
	fixture_until(&f, f.durables[1] == 2);
	fixture_until(&f, empty());
	fixture_end(&f, 1);
	fixture_until(&f, f.durables[1] == 3);
	assert_int_equal(fixture_count(&f, "take"), 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_close(&f);
}

static void not_held(void **state)
{
	(void)state;
	start(TAKE "exit 3", GIVE);
	acquire(1);
	assert_refused(1, WHO_HOOK, HOW_REFUSED);
	fixture_hooks(&f, TAKE "exit 75", GIVE);
	acquire(2);
	assert_refused(2, WHO_HOOK, HOW_LIMIT);
	assert_true(quiet_log_has("busy"));
	fixture_hooks(&f, "exit 0", GIVE);
	free(f.service.acquire.command[0]);
	f.service.acquire.command[0] = strdup("/nonexistent/hook");
	acquire(3);
	assert_refused(3, WHO_HOOK, HOW_FAILED);
	assert_int_equal(f.verdict[3].reason.error, ENOENT);
	f.service.acquire.allow_on_error = true;
	acquire(4);
	assert_int_equal(f.verdict[4].verdict, VERDICT_GO);
	assert_int_equal(f.verdict[4].fence, 0);
	end(4);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 0);
	fixture_close(&f);
}

/* The first holds the only seat. */
static void busy(void **state)
{
	(void)state;
	start(TAKE "[ -e $J.seat ] && exit 75; : >$J.seat", "rm $J.seat; " GIVE);
	acquire(1);
	assert_int_equal(f.verdict[1].verdict, VERDICT_GO);
	/* Nobody is asked: refused. */
	acquire(2);
	assert_int_equal(f.verdict[2].verdict, VERDICT_REFUSE);
	/* Kept waiting, it hears nothing, and its lease is gone. */
	f.keep_busy = true;
	fixture_acquire(&f, 3);
	fixture_acquire(&f, 4);
	fixture_until(&f, f.busy == 3 && counts().acquiring == 0);
	assert_int_equal(f.verdicts[3] + f.verdicts[4], 0);
	assert_int_equal(leases_giving_back(f.leases, "seats"), 0);
	end(1);
	fixture_until(&f, f.given_back == 1);
	/* Asked again by its relay or by us it has a lease of its own, and is not kept twice. */
	struct session_key third = fixture_key(3), fourth = fixture_key(4);
	leases_acquire_again(f.leases, &third, &f.slot[3].record);
	fixture_until(&f, f.verdicts[3]);
	assert_int_equal(f.verdict[3].verdict, VERDICT_GO);
	leases_acquire_again(f.leases, &fourth, &f.slot[4].record);
	fixture_until(&f, f.verdicts[4]);
	assert_int_equal(f.verdict[4].verdict, VERDICT_REFUSE);
	assert_int_equal(f.busy, 3);
	fixture_acquire(&f, 5);
	fixture_until(&f, f.busy == 4 && counts().acquiring == 0);
	struct session_key fifth = fixture_key(5);
	leases_refuse_busy(f.leases, &fifth, &f.slot[5].record);
	fixture_until(&f, f.verdicts[5]);
	assert_refused(5, WHO_HOOK, HOW_LIMIT);
	/* Its session ends meanwhile: that there is no lease is told. */
	fixture_acquire(&f, 6);
	fixture_until(&f, f.busy == 5 && counts().acquiring == 0);
	end(6);
	end(3);
	fixture_until(&f, f.given_back == 2 && empty());
	assert_int_equal(fixture_count(&f, "give"), 2);
	fixture_close(&f);
}

static void unknown(void **state)
{
	(void)state;
	start(TAKE "kill -KILL $$", GIVE);
	acquire(1);
	assert_refused(1, WHO_HOOK, HOW_FAILED);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "unknown recovered=0 attempt=1 reason=hook.failed"), 1);

	fixture_hooks(&f, TAKE "sleep 60 & wait", GIVE);
	f.service.acquire.timeout_ms = 500; /* a commit of a busy machine's disk is within it */
	acquire(2);
	assert_refused(2, WHO_HOOK, HOW_TIMEOUT);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "unknown recovered=0 attempt=1 reason=hook.timeout"), 1);

	f.service.acquire.allow_on_error = true;
	acquire(3);
	assert_int_equal(f.verdict[3].verdict, VERDICT_GO);
	assert_int_equal(counts().held, 1);
	assert_int_equal(fixture_count(&f, "give"), 2);
	end(3);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "unknown recovered=0 attempt=1 reason=client.reset"), 1);
	fixture_close(&f);
}

static void one_hook_only(void **state)
{
	(void)state;
	start(NULL, GIVE);
	acquire(1);
	assert_true(f.verdict[1].fence > 0);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_hooks(&f, TAKE, NULL);
	acquire(2);
	assert_true(f.verdict[2].fence > f.verdict[1].fence);
	end(2);
	fixture_until(&f, empty());
	fixture_hooks(&f, NULL, NULL);
	acquire(3);
	assert_int_equal(f.verdict[3].verdict, VERDICT_GO);
	assert_int_equal(f.verdict[3].fence, 0);
	fixture_close(&f);
}

static void bad_route(void **state)
{
	(void)state;
	start(TAKE "echo backend=db.lan:5432", GIVE);
	acquire(1);
	assert_refused(1, WHO_HOOK, HOW_FAILED);
	assert_true(quiet_log_has("backend=db.lan:5432"));
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 1);
	assert_int_equal(fixture_count(&f, "yes"), 1);
	fixture_close(&f);
}

static void gone_meanwhile(void **state)
{
	(void)state;
	start(TAKE "while [ ! -e $J.go ]; do sleep 0.02; done", GIVE);
	fixture_acquire(&f, 1);
	fixture_until(&f, fixture_count(&f, "take") == 1);
	end(1); /* durable while its acquire still runs */
	fixture_acquire(&f, 2);
	fixture_until(&f, fixture_count(&f, "take") == 2);
	end(2);
	assert_int_equal(fixture_count(&f, "give"), 0);
	char path[96];
	snprintf(path, sizeof path, "%s/journal.go", f.directory);
	fclose(fopen(path, "w"));
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 2);
	assert_int_equal(f.verdicts[1] + f.verdicts[2], 0);

	/* Gone before anything ran. */
	fixture_acquire(&f, 3);
	end(3);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "take"), 2);
	fixture_close(&f);
}

static void limits(void **state)
{
	(void)state;
	start(TAKE "while [ ! -e $J.go ]; do sleep 0.02; done", GIVE "echo now >>$J; sleep 0.1");
	f.service.acquire.concurrency = 1;
	f.service.acquire.queue = 1;
	f.service.release.concurrency = 1;
	f.service.release.queue = 1;
	fixture_acquire(&f, 1);
	fixture_acquire(&f, 2);
	acquire(3);
	assert_refused(3, WHO_HOOK, HOW_LIMIT);
	fixture_until(&f, fixture_count(&f, "take") == 1);
	char path[96];
	snprintf(path, sizeof path, "%s/journal.go", f.directory);
	fclose(fopen(path, "w"));
	fixture_until(&f, f.verdicts[1] && f.verdicts[2]);
	acquire(4);
	acquire(5);
	end(1);
	end(2);
	end(4);
	end(5); /* releases wait, however many */
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 4);
	fixture_close(&f);
}

static void release_retried(void **state)
{
	(void)state;
	start(TAKE, GIVE "[ $TCPWARDEN_ATTEMPT = 2 ]");
	acquire(1);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "attempt=1"), 1);
	assert_int_equal(fixture_count(&f, "attempt=2"), 1);
	fixture_close(&f);
}

static json_t *listed;

static void on_listed(void *context, json_t *lease)
{
	(void)context;
	json_decref(listed);
	listed = lease;
}

/* The last of those that there are, as people are told. */
static const char *list(const char *client, const char *member)
{
	struct lease_query query = {0};
	uint32_t cursor = 0;
	snprintf(query.client, sizeof query.client, "%s", client);
	json_decref(listed);
	listed = NULL;
	while (leases_walk(f.leases, &query, &cursor, on_listed, NULL))
		;
	return json_string_value(json_object_get(listed, member));
}

/* Release fails until it counts as failed, over a restart, and a person has it tried at once. */
static void release_by_hand(void **state)
{
	(void)state;
	start(TAKE, GIVE "[ -e $J.ok ]");
	acquire(1);
	uint64_t fence = f.verdict[1].fence;
	assert_string_equal(list("192.0.2.7", "state"), "held");
	assert_null(list("192.0.2.8", "state"));
	assert_int_equal(leases_release_now(f.leases, fence), -EBUSY);
	assert_int_equal(leases_release_now(f.leases, fence + 1), -ENOENT);
	end(1);
	for (int attempt = 1; attempt < LEASE_FAILED_AFTER; attempt++) {
		fixture_until(&f, !leases_release_now(f.leases, fence));
		assert_int_equal(counts().failed, 0);
		assert_int_equal(leases_release_now(f.leases, fence), -EALREADY);
	}
	fixture_until(&f, counts().failed == 1);
	assert_int_equal(counts().releasing, 1);
	assert_string_equal(list("", "state"), "failed");
	assert_string_equal(list("", "why"), "exited with 1");
	assert_int_equal(json_integer_value(json_object_get(listed, "attempts")), LEASE_FAILED_AFTER);
	assert_true(json_integer_value(json_object_get(listed, "next_try_ms")) > 60000);
	fixture_crash(&f);

	fixture_start(&f);
	fixture_until(&f, counts().failed == 1);
	assert_int_equal(fixture_count(&f, "give"), LEASE_FAILED_AFTER + 1);
	char path[96];
	snprintf(path, sizeof path, "%s/journal.ok", f.directory);
	fclose(fopen(path, "w"));
	assert_int_equal(leases_release_now(f.leases, fence), 0);
	fixture_until(&f, empty());
	assert_int_equal(leases_release_now(f.leases, fence), -ENOENT);
	assert_int_equal(fixture_count(&f, "give"), LEASE_FAILED_AFTER + 2);
	assert_null(list("", "state"));
	fixture_close(&f);
}

static void stop(void **state)
{
	(void)state;
	start(TAKE, GIVE "[ -e $J.ok ]");
	acquire(1);
	acquire(2);
	end(1);
	fixture_until(&f, fixture_count(&f, "attempt=1") == 1);
	leases_stop(f.leases);
	acquire(3);
	assert_refused(3, WHO_SYSTEM, HOW_SHUTDOWN);
	fixture_until(&f, f.stopped); /* 1 was tried and failed, 2 lives on */
	fixture_crash(&f);

	char path[96];
	snprintf(path, sizeof path, "%s/journal.ok", f.directory);
	fclose(fopen(path, "w"));
	f.slot[2].state = SLOT_FREE;
	fixture_start(&f);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "recovered=1 attempt=1 reason=system.lost"), 1);
	fixture_close(&f);
}

static void successor_holds_on(void **state)
{
	(void)state;
	start(TAKE "echo A=b", GIVE "echo $TCPWARDEN_VAR_A >>$J");
	acquire(1);
	uint64_t fence = f.verdict[1].fence;
	fixture_crash(&f);
	/* The verdict was lost: the client waits still, and the reload took the hooks away. */
	f.slot[1].state = SLOT_ACQUIRING;
	fixture_hooks(&f, NULL, NULL);
	fixture_start(&f);
	acquire(1);
	assert_int_equal(f.verdict[1].fence, fence);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "take"), 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	assert_int_equal(fixture_count(&f, "b\n"), 1);
	fixture_close(&f);
}

/* The steward dies during acquire: whatever it started is ended first, then released as unknown; the waiting client is served. */
static void died_in_acquire(void **state)
{
	(void)state;
	start(TAKE "trap '' TERM; (sleep 60) & [ -e $J.go ] || wait", GIVE);
	fixture_acquire(&f, 1);
	fixture_acquire(&f, 2);
	fixture_until(&f, fixture_count(&f, "take") == 2);
	fixture_crash(&f);
	f.slot[2].state = SLOT_FREE;
	fixture_hooks(&f, TAKE, GIVE);
	fixture_start(&f);
	acquire(1);
	assert_int_equal(f.verdict[1].verdict, VERDICT_GO);
	fixture_until(&f, counts().held == 1 && !counts().releasing);
	assert_int_equal(fixture_count(&f, "take"), 3);
	assert_int_equal(fixture_count(&f, "give"), 2);
	assert_int_equal(fixture_count(&f, "unknown recovered=1"), 2);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "yes recovered=0"), 1);
	fixture_close(&f);
}

/* Its slot was overwritten, or freed without a word: nobody will ever say that the session is over. */
static void forgotten(void **state)
{
	(void)state;
	start(TAKE, GIVE);
	acquire(1);
	acquire(2);
	f.slot[1].state = SLOT_FREE;
	for (int i = 0; i < LEASE_CHECK_CALLS; i++)
		leases_check(f.leases);
	fixture_until(&f, counts().held == 1 && !counts().releasing);
	assert_int_equal(fixture_count(&f, "yes recovered=1 attempt=1 reason=system.lost"), 1);
	end(2);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 2);
	fixture_close(&f);
}

static void store_lost(void **state)
{
	(void)state;
	start(TAKE, GIVE);
	acquire(1);
	uint64_t fence = f.verdict[1].fence;
	fixture_crash(&f);
	char command[160];
	snprintf(command, sizeof command, "%s/leases.db", f.directory);
	FILE *file = fopen(command, "r+");
	fputs("this is no database, whatever it was", file);
	fclose(file);
	fixture_start(&f);
	assert_true(quiet_log_has("set aside"));
	end(1);
	fixture_until(&f, empty());
	char expected[64], lease[24];
	lease_format(fence, lease);
	snprintf(expected, sizeof expected, "give %s %llu", lease, (unsigned long long)fence);
	assert_int_equal(fixture_count(&f, expected), 1);
	fixture_close(&f);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No file may grow: that is how a full disk is, for the store and for the hooks' own files alike. */
static void disk_full(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	start(TAKE, GIVE);
	f.service.acquire.timeout_ms = 300;
	acquire(1);
	limit_files(1);
	acquire(2);
	assert_refused(2, WHO_SYSTEM, HOW_FAILED);
	assert_true(quiet_log_has("cannot write"));
	fixture_end(&f, 1);
	for (int i = 0; i < 20; i++)
		fixture_turn(&f, UINT64_MAX);
	assert_int_equal(f.durables[1], 0);
	assert_int_equal(fixture_count(&f, "give"), 0);
	limit_files(RLIM_INFINITY);
	fixture_until(&f, f.durables[1]);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "take"), 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_close(&f);
}

#define MEET  "echo meet $TCPWARDEN_EVENT $TCPWARDEN_LEASE $TCPWARDEN_VAR_SEAT $TCPWARDEN_BACKEND_PORT $TCPWARDEN_ACQUIRED >>$J; "
#define RENEW "echo renew $TCPWARDEN_VAR_SEAT attempt=$TCPWARDEN_ATTEMPT $TCPWARDEN_BYTES_TO_CLIENT >>$J; "

static void connected(unsigned session)
{
	struct session_key key = fixture_key(session);
	struct session_record *record = &f.slot[session].record;
	record->connected_ms = 1500;
	record->backend = (struct endpoint){.family = AF_INET, .port = 9000, .ip = {198, 51, 100, 3}};
	f.slot[session].moved[SIDE_BACKEND] = 77;
	leases_connected(f.leases, &key, record);
}

static void start_held(const char *connected_text, const char *renew)
{
	start(TAKE "echo SEAT=7", GIVE);
	fixture_held_hooks(&f, connected_text, renew);
	f.service.renew.every_ms = 50;
	f.service.connected.allow_on_error = true;
	acquire(1);
	connected(1);
}

static void told_and_renewed(void **state)
{
	(void)state;
	start_held(MEET "exit 1", RENEW "echo to-the-log");
	connected(1);
	fixture_until(&f, fixture_count(&f, "renew 7 ") == 3);
	assert_int_equal(fixture_count(&f, "meet connected"), 1);
	assert_int_equal(fixture_count(&f, " 7 9000 yes\n"), 1);
	assert_int_equal(fixture_count(&f, "attempt=3 77"), 1);
	assert_true(quiet_log_has("connected hook exited with 1"));
	assert_true(quiet_log_has("renew hook: to-the-log"));
	end(1);
	fixture_until(&f, empty());
	unsigned renewed = fixture_count(&f, "renew 7 ");
	uv_sleep(100);
	for (int i = 0; i < 20; i++)
		fixture_turn(&f, UINT64_MAX);
	assert_int_equal(fixture_count(&f, "renew 7 "), renewed);
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_close(&f);
}

/* What is being renewed is given back when that has ended. */
static void over_while_renewed(void **state)
{
	(void)state;
	start_held(NULL, "echo begun >>$J; sleep 0.3; echo done >>$J");
	fixture_until(&f, fixture_count(&f, "begun"));
	end(1);
	assert_int_equal(fixture_count(&f, "done"), 0);
	fixture_until(&f, empty());
	const char *journal = fixture_journal(&f), *done = strstr(journal, "done"), *give = strstr(journal, "give");
	assert_non_null(done);
	assert_non_null(give);
	assert_true(done < give);
	assert_int_equal(fixture_count(&f, "begun"), 1);
	fixture_close(&f);
}

/* It waits for its turn when its session ends. */
static void over_before_renewed(void **state)
{
	(void)state;
	start(NULL, GIVE);
	fixture_held_hooks(&f, NULL, "echo begun >>$J; sleep 0.3");
	f.service.renew.every_ms = 50;
	f.service.renew.concurrency = 1;
	leases_configure(f.leases, &f.config);
	acquire(1);
	fixture_until(&f, fixture_count(&f, "begun"));
	acquire(2);
	for (int i = 0; i < 20; i++)
		fixture_turn(&f, UINT64_MAX);
	end(2);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "begun"), 1);
	assert_int_equal(fixture_count(&f, "give"), 2);
	fixture_close(&f);
}

static void not_renewed(void **state)
{
	(void)state;
	start_held(NULL, "exit 1");
	fixture_until(&f, f.told_to_end[1].who);
	assert_int_equal(f.told_to_end[1].who, WHO_HOOK);
	assert_int_equal(f.told_to_end[1].how, HOW_FAILED);
	assert_int_equal(counts().held, 1);
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 1);
	f.told_to_end[2].who = 0;
	f.service.renew.allow_on_error = true;
	fixture_held_hooks(&f, NULL, "echo tried >>$J; exit 1");
	acquire(2);
	fixture_until(&f, fixture_count(&f, "tried") == 2);
	assert_int_equal(f.told_to_end[2].who, 0);
	end(2);
	fixture_until(&f, empty());
	fixture_close(&f);
}

/* A successor ends the renew that runs, and renews in its stead; nobody told it that the backend is connected. */
static void renewed_by_successor(void **state)
{
	(void)state;
	start(TAKE "echo SEAT=7", GIVE);
	fixture_held_hooks(&f, MEET, "echo begun >>$J; sleep 1; echo done >>$J");
	f.service.renew.every_ms = 50;
	acquire(1);
	fixture_until(&f, fixture_count(&f, "begun"));
	fixture_crash(&f);
	f.slot[1].record.connected_ms = 1500;
	fixture_held_hooks(&f, NULL, NULL); /* what the lease was acquired with counts */
	fixture_start(&f);
	fixture_until(&f, fixture_count(&f, "begun") == 2);
	fixture_until(&f, fixture_count(&f, "meet connected"));
	end(1);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "done"), fixture_count(&f, "begun") - 1);
	assert_int_equal(fixture_count(&f, "give"), 1);
	fixture_close(&f);
}

static void cooled_down(void **state)
{
	(void)state;
	start(TAKE "[ -e $J.mended ] && exit 1; exit 69", GIVE);
	f.service.acquire.cooldown_ms = 200;
	unsigned session = 1;
	for (; session <= 5; session++) {
		acquire(session);
		assert_refused(session, WHO_HOOK, HOW_FAILED);
	}
	assert_true(quiet_log_has("has failed 5 times in a row"));
	for (; session <= 10; session++) {
		acquire(session);
		assert_refused(session, WHO_HOOK, HOW_FAILED);
		assert_int_equal(f.verdict[session].reason.operation, OPERATION_ACCEPT);
	}
	assert_int_equal(fixture_count(&f, "take"), 5);

	/* Mended: a refusal is an answer, too. Of two that come at once one tries it. */
	char path[96];
	snprintf(path, sizeof path, "%s/journal.mended", f.directory);
	fclose(fopen(path, "w"));
	uv_sleep(250);
	uv_update_time(&f.loop);
	fixture_acquire(&f, session);
	fixture_acquire(&f, session + 1);
	fixture_until(&f, f.verdicts[session] && f.verdicts[session + 1]);
	assert_refused(session, WHO_HOOK, HOW_REFUSED);
	assert_refused(session + 1, WHO_HOOK, HOW_FAILED);
	assert_true(quiet_log_has("works again; 6 clients"));
	assert_int_equal(fixture_count(&f, "take"), 6);
	acquire(session + 2);
	assert_refused(session + 2, WHO_HOOK, HOW_REFUSED);
	fixture_until(&f, empty());
	assert_int_equal(fixture_count(&f, "give"), 0);
	fixture_close(&f);
}

/* Who was to try a cold hook and left before that makes room for another; who waited in line when it became cold is refused. */
static void cooled_down_in_line(void **state)
{
	(void)state;
	start(TAKE "sleep 0.05; exit 69", GIVE);
	f.service.acquire.cooldown_ms = 300;
	f.service.acquire.concurrency = 1;
	leases_configure(f.leases, &f.config);
	for (unsigned session = 1; session <= 8; session++)
		fixture_acquire(&f, session);
	for (unsigned session = 1; session <= 8; session++) {
		fixture_until(&f, f.verdicts[session]);
		assert_refused(session, WHO_HOOK, HOW_FAILED);
	}
	assert_int_equal(fixture_count(&f, "take"), 5);
	fixture_until(&f, empty());
	uv_sleep(350);
	uv_update_time(&f.loop);
	fixture_acquire(&f, 9);
	fixture_end(&f, 9); /* at the gate: nothing ran */
	fixture_until(&f, empty());
	fixture_hooks(&f, TAKE, GIVE);
	acquire(10);
	assert_int_equal(f.verdict[10].verdict, VERDICT_GO);
	end(10);
	fixture_until(&f, empty());
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_and_released),
		cmocka_unit_test(goes_along),
		cmocka_unit_test(asked_twice),
		cmocka_unit_test(not_held),
		cmocka_unit_test(busy),
		cmocka_unit_test(unknown),
		cmocka_unit_test(told_and_renewed),
		cmocka_unit_test(over_while_renewed),
		cmocka_unit_test(over_before_renewed),
		cmocka_unit_test(not_renewed),
		cmocka_unit_test(renewed_by_successor),
		cmocka_unit_test(cooled_down),
		cmocka_unit_test(cooled_down_in_line),
		cmocka_unit_test(one_hook_only),
		cmocka_unit_test(bad_route),
		cmocka_unit_test(gone_meanwhile),
		cmocka_unit_test(limits),
		cmocka_unit_test(release_retried),
		cmocka_unit_test(release_by_hand),
		cmocka_unit_test(stop),
		cmocka_unit_test(successor_holds_on),
		cmocka_unit_test(died_in_acquire),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(store_lost),
		cmocka_unit_test(disk_full),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	quiet_log_clear();
	return failed;
}
