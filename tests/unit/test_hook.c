/* One hook: how it ends, what it prints, what it is given, and that nothing but its own process can hold it up. */
#include "steward/hook/answer.h"
#include "steward/hook/cooldown.h"
#include "steward/hook/environment.h"
#include "steward/hook/hook.h"
#include "steward/hook/line.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uv_loop_t loop;
static struct run {
	struct hook *hook;
	bool ended;
	enum hook_outcome outcome;
	int value;
	char output[HOOK_OUTPUT_MAX + 1];
	size_t length;
	bool cut;
	char lines[4096];
	int line_count;
} run;

static void on_line(void *context, const char *line)
{
	(void)context;
	size_t n = strlen(run.lines);
	snprintf(run.lines + n, sizeof run.lines - n, "%s|", line);
	run.line_count++;
}

static void on_end(void *context, const struct hook_result *result)
{
	(void)context;
	run.ended = true;
	run.outcome = result->outcome;
	run.value = result->value;
	run.length = result->output_length;
	run.cut = result->output_cut;
	memcpy(run.output, result->output, result->output_length + 1);
	hook_close(run.hook);
}

static const struct hook_callbacks callbacks = {.on_line = on_line, .on_end = on_end};

static void begin(
	char *const *command, char *const *environment, const char *directory, int umask, uint32_t timeout_ms, bool keep)
{
	memset(&run, 0, sizeof run);
	struct hook_program program = {
		.command = command, .environment = environment, .directory = directory, .umask = umask, .timeout_ms = timeout_ms};
	assert_int_equal(hook_start(&run.hook, &loop, &program, keep, &callbacks, NULL), 0);
}

static void finish(void)
{
	hook_open(run.hook);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(run.ended);
}

static void shell_for(const char *text, uint32_t timeout_ms, bool keep)
{
	char *command[] = {"/bin/sh", "-c", (char *)(uintptr_t)text, NULL};
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};
	begin(command, environment, "/", -1, timeout_ms, keep);
	finish();
}

static void shell(const char *text)
{
	shell_for(text, 10000, true);
}

static void assert_exited(int status)
{
	assert_int_equal(run.outcome, HOOK_EXITED);
	assert_int_equal(run.value, status);
}

static void exits(void **state)
{
	(void)state;
	shell("exit 0");
	assert_exited(0);
	shell("exit 75");
	assert_exited(75);
	shell("exit 127");
	assert_exited(127);
	shell("kill -USR1 $$");
	assert_int_equal(run.outcome, HOOK_SIGNALED);
	assert_int_equal(run.value, SIGUSR1);
}

static void cannot_run(void **state)
{
	(void)state;
	char *missing[] = {"/nonexistent", NULL}, *directory[] = {"/tmp", NULL}, *unfound[] = {"no-such-program", NULL};
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};
	begin(missing, environment, "/", -1, 1000, true);
	finish();
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	assert_int_equal(run.value, ENOENT);
	begin(directory, environment, "/", -1, 1000, true);
	finish();
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	assert_int_equal(run.value, EACCES);
	begin(unfound, environment, "/", -1, 1000, true);
	finish();
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	char *shell_word[] = {"sh", "-c", "exit 4", NULL};
	begin(shell_word, environment, "/", -1, 1000, true);
	finish();
	assert_exited(4);
	begin(shell_word, environment, "/nonexistent", -1, 1000, true);
	finish();
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	assert_int_equal(run.value, ENOENT);
}

static void timeouts(void **state)
{
	(void)state;
	shell_for("sleep 60", 50, true);
	assert_int_equal(run.outcome, HOOK_TIMED_OUT);
	/* It exits well once it is asked to, which says nothing of what it took. */
	shell_for("trap 'exit 0' TERM; sleep 60 & wait", 50, true);
	assert_int_equal(run.outcome, HOOK_TIMED_OUT);
}

static void as_user(const struct hook_user *user, const char *text)
{
	char *command[] = {"/bin/sh", "-c", (char *)(uintptr_t)text, NULL};
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};
	memset(&run, 0, sizeof run);
	struct hook_program program = {.command = command,
		.environment = environment,
		.directory = "/",
		.user = user,
		.umask = -1,
		.timeout_ms = 10000,
		.dies_with_us = true};
	assert_int_equal(hook_start(&run.hook, &loop, &program, true, &callbacks, NULL), 0);
	finish();
}

static void other_users(void **state)
{
	(void)state;
	uint32_t groups[] = {4001, 4002, 4294967294};
	struct hook_user user = {true, 4000, 4001, groups, 3};
	if (geteuid()) {
		as_user(&user, "exit 0");
		assert_int_equal(run.outcome, HOOK_NOT_RUN);
		assert_int_equal(run.value, EPERM);
		skip();
	}
	as_user(&user, "grep -E '^(Uid|Gid|Groups|Cap(Prm|Eff|Inh|Amb)):' /proc/self/status; echo well >/dev/stderr");
	assert_exited(0);
	assert_string_equal(run.output,
		"Uid:\t4000\t4000\t4000\t4000\nGid:\t4001\t4001\t4001\t4001\nGroups:\t4001 4002 4294967294 \n"
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n");
	assert_string_equal(run.lines, "well|");
	user.group_count = 0;
	as_user(&user, "grep ^Groups: /proc/self/status");
	assert_string_equal(run.output, "Groups:\t \n");
	user.uid = 0;
	as_user(&user, "exit 0");
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	user.uid = HOOK_USER_GONE;
	as_user(&user, "exit 0");
	assert_int_equal(run.outcome, HOOK_NOT_RUN);
	assert_int_equal(run.value, EPERM);
}

/* Deaf to SIGTERM, and so is what it left behind: all of it is gone before the end is told. */
static void timeout_ignored(void **state)
{
	(void)state;
	uint64_t began_ms = uv_hrtime() / 1000000;
	shell_for("trap '' TERM; sleep 61 & echo $! >&2; while :; do sleep 1; done", 100, true);
	assert_int_equal(run.outcome, HOOK_TIMED_OUT);
	assert_true(uv_hrtime() / 1000000 - began_ms >= HOOK_TERM_GRACE_MS);
	struct process_group left;
	pid_t pid = (pid_t)strtol(run.lines, NULL, 10);
	assert_true(pid > 1);
	assert_true(process_group_identify(&left, pid) != 0 || !process_group_lives(&left));
}

static void outputs(void **state)
{
	(void)state;
	shell("echo A=1; echo B=2; echo 'one error' >&2; printf 'two\\033[2J' >&2");
	assert_string_equal(run.output, "A=1\nB=2\n");
	assert_string_equal(run.lines, "one error|two [2J|");
	shell_for("echo out; echo err >&2", 10000, false);
	assert_int_equal(run.line_count, 2);
	assert_int_equal(run.length, 0);
	shell("head -c 5000000 /dev/zero | tr '\\0' x; head -c 3000 /dev/zero | tr '\\0' y >&2");
	assert_exited(0);
	assert_int_equal(run.length, 0); /* not one whole line */
	assert_true(run.cut);
	assert_int_equal(run.line_count, 3);
}

static void grandchild_holds_pipes(void **state)
{
	(void)state;
	uint64_t began_ms = uv_hrtime() / 1000000;
	shell("sleep 5 & echo pid=$!");
	assert_exited(0);
	assert_true(uv_hrtime() / 1000000 - began_ms < 4000);
	kill((pid_t)strtol(run.output + 4, NULL, 10), SIGKILL);
}

static void surroundings(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	sigset_t set, before;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, &before);
	int leaked = dup(2);
	char *command[] = {"/bin/sh", "-c",
		"echo $(ls /proc/self/fd | wc -l); pwd; umask; grep -E 'Sig(Blk|Ign)|CapAmb' /proc/self/status; readlink "
		"/proc/self/fd/0; "
		"[ $$ = $(ps -o pgid= -p $$) ] && [ $$ = $(ps -o sid= -p $$) ] && echo leads; tr '\\0' '\\n' </proc/$$/environ",
		NULL};
	char *environment[] = {"PATH=/usr/bin:/bin", "ONLY=this", NULL};
	begin(command, environment, "/tmp", 027, 10000, true);
	finish();
	close(leaked);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_exited(0);
	/* ls itself has the directory open, as a fourth. */
	assert_string_equal(run.output, "4\n/tmp\n0027\n"
					"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapAmb:\t0000000000000000\n"
					"/dev/null\nleads\nPATH=/usr/bin:/bin\nONLY=this\n");
}

/* Until the gate opens nothing runs, and if it never opens nothing ever does. */
static void gate(void **state)
{
	(void)state;
	char path[] = "/tmp/hook-test-XXXXXX";
	close(mkstemp(path));
	char *command[] = {"/bin/rm", path, NULL}, *environment[] = {NULL};
	begin(command, environment, "/", -1, 1000, true);
	struct process_group group = *hook_group(run.hook);
	assert_true(process_group_lives(&group));
	hook_close(run.hook);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_false(run.ended);
	assert_false(process_group_lives(&group));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);

	begin(command, environment, "/", -1, 1000, true);
	kill(hook_group(run.hook)->pid, SIGKILL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(run.outcome, HOOK_SIGNALED);
}

static void groups(void **state)
{
	(void)state;
	struct process_group group;
	assert_int_equal(process_group_identify(&group, getpid()), 0);
	assert_true(process_group_lives(&group));
	struct process_group other = group;
	other.start_ticks++;
	assert_false(process_group_lives(&other));
	other = group;
	other.boot[0] ^= 1;
	assert_false(process_group_lives(&other));

	/* The leader has gone, one of its group is left. */
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t leader = fork();
	if (!leader) {
		setsid();
		pid_t member = fork();
		if (!member) {
			pause();
			_exit(0);
		}
		ssize_t n = write(pipes[1], &member, sizeof member);
		_exit(n < 0);
	}
	pid_t member;
	assert_int_equal(process_group_identify(&group, leader), 0);
	assert_int_equal(read(pipes[0], &member, sizeof member), sizeof member);
	assert_int_equal(waitpid(leader, NULL, 0), leader);
	assert_true(process_group_lives(&group));
	process_group_signal(&group, SIGKILL);
	uint64_t deadline_ns = uv_hrtime() + 5000000000;
	while (process_group_lives(&group) && uv_hrtime() < deadline_ns)
		usleep(1000);
	assert_false(process_group_lives(&group));
	close(pipes[0]);
	close(pipes[1]);
}

static int parse(struct hook_answer *ret, const char *text, char **ret_bad)
{
	return hook_answer_parse(ret, text, strlen(text), ret_bad);
}

static void answers(void **state)
{
	(void)state;
	struct hook_answer answer;
	char *bad;
	assert_int_equal(parse(&answer, "A=1\nb_2=x=y\r\n\n1A=no\nhello\nA=2\nEMPTY=\nbackend=[2001:db8::1]:502\n", &bad), 0);
	assert_int_equal(answer.count, 3);
	assert_string_equal(answer.variables[0], "A=2");
	assert_string_equal(answer.variables[1], "b_2=x=y");
	assert_string_equal(answer.variables[2], "EMPTY=");
	assert_int_equal(answer.ignored, 2);
	assert_string_equal(answer.ignored_line, "1A=no");
	assert_int_equal(answer.route.family, AF_INET6);
	assert_int_equal(answer.route.port, 502);
	hook_answer_fini(&answer);

	static const char *const wrong[] = {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:1x",
		"host:80", "2001:db8::1:80", "[192.0.2.1]:80", "[2001:db8::1]", "[]:80", ":80", "192.0.2.1:-1", "[:80"};
	struct endpoint route;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(hook_answer_route(&route, wrong[i]), -EINVAL);
	assert_int_equal(parse(&answer, "backend=nowhere", &bad), -EINVAL);
	assert_string_equal(bad, "nowhere");
	free(bad);
	hook_answer_fini(&answer);

	/* A zero byte spoils its own line, and none after it. */
	static const char zeros[] = "A=1\nB=2\0C=3\n\0\nbackend=192.0.2.1:80\0\nD=4";
	assert_int_equal(hook_answer_parse(&answer, zeros, sizeof zeros - 1, &bad), 0);
	assert_int_equal(answer.count, 2);
	assert_string_equal(answer.variables[0], "A=1");
	assert_string_equal(answer.variables[1], "D=4");
	assert_int_equal(answer.ignored, 3);
	assert_string_equal(answer.ignored_line, "B=2");
	assert_int_equal(answer.route.family, AF_UNSPEC);
	hook_answer_fini(&answer);
}

/* What was cut at the end of what is kept is no answer. */
static void answer_is_cut_at_a_line(void **state)
{
	(void)state;
	shell("yes A=123456789 | head -c 66000");
	assert_exited(0);
	assert_true(run.cut);
	assert_int_equal(run.length, HOOK_OUTPUT_MAX - HOOK_OUTPUT_MAX % 12);
	assert_int_equal(run.output[run.length - 1], '\n');
	shell("head -c 66000 /dev/zero");
	assert_true(run.cut);
	assert_int_equal(run.length, 0);
}

static void not_every_line_is_told(void **state)
{
	(void)state;
	shell("yes n | head -n 5000 >&2; echo A=1");
	assert_exited(0);
	assert_int_equal(run.line_count, HOOK_LINES_MAX + 1);
	assert_string_equal(run.output, "A=1\n");
	shell_for("yes x | head -n 1000", 10000, false);
	assert_int_equal(run.line_count, HOOK_LINES_MAX);
}

static bool environment_has(const struct hook_environment *list, const char *entry)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->list[i], entry))
			return true;
	return false;
}

static void environment(void **state)
{
	(void)state;
	setenv("PATH", "/p", 1);
	setenv("LANG", "C.UTF-8", 1);
	struct session_record session = {.id = 0xabc, .service = "s", .client = {.family = AF_UNIX}};
	char *own[] = {"PATH=/mine", "X=1", "TCPWARDEN_FENCE=9", "TCPWARDEN_MORE=1", NULL}, *variables[] = {"SEAT=4", NULL};
	struct hook_facts facts = {.event = HOOK_ACQUIRE, .fence = 255, .session = &session, .environment = own, .attempt = 1};
	struct hook_environment list;
	hook_environment_init(&list);
	hook_environment_fill(&list, &facts);
	static const char *const expected[] = {"PATH=/mine", "LANG=C.UTF-8", "X=1", "TCPWARDEN_EVENT=acquire",
		"TCPWARDEN_SERVICE=s", "TCPWARDEN_LEASE=ff", "TCPWARDEN_FENCE=255", "TCPWARDEN_SESSION=abc",
		"TCPWARDEN_CLIENT=unix",
		"TCPWARDEN_CLIENT_PORT=", "TCPWARDEN_LOCAL=", "TCPWARDEN_LOCAL_PORT=", "TCPWARDEN_ATTEMPT=1"};
	assert_int_equal(list.count, sizeof expected / sizeof *expected);
	for (size_t i = 0; i < list.count; i++)
		assert_string_equal(list.list[i], expected[i]);
	assert_null(list.list[list.count]);
	hook_environment_fini(&list);

	facts.event = HOOK_RELEASE;
	facts.variables = variables;
	facts.unknown = facts.recovered = true;
	hook_environment_init(&list);
	hook_environment_fill(&list, &facts);
	assert_int_equal(list.count, sizeof expected / sizeof *expected + 13);
	assert_string_equal(list.list[list.count - 1], "TCPWARDEN_VAR_SEAT=4");
	assert_true(environment_has(&list, "TCPWARDEN_ACQUIRED=unknown"));
	assert_true(environment_has(&list, "TCPWARDEN_RECOVERED=1"));
	hook_environment_fini(&list);

	facts.event = HOOK_RENEW;
	hook_environment_init(&list);
	hook_environment_fill(&list, &facts);
	assert_int_equal(list.count, sizeof expected / sizeof *expected + 7);
	assert_true(environment_has(&list, "TCPWARDEN_EVENT=renew"));
	assert_true(environment_has(&list, "TCPWARDEN_VAR_SEAT=4"));
	assert_false(environment_has(&list, "TCPWARDEN_RECOVERED=1"));
	hook_environment_fini(&list);
}

static int turns_taken;

static void on_turn(struct hook_turn *turn)
{
	turns_taken++;
	hook_line_leave(turn);
}

/* A line of any length whose hooks all fail to start is a loop, not a recursion. */
static void lines(void **state)
{
	(void)state;
	enum { MANY = 200000 };
	struct hook_line line = {.concurrency = 1};
	struct hook_turn first = {.on_turn = on_turn}, refused = {.on_turn = on_turn};
	struct hook_turn *waiting = calloc(MANY, sizeof *waiting);
	assert_int_equal(hook_line_join(&line, &first, 0), 1);
	assert_int_equal(hook_line_join(&line, &refused, 0), -EDQUOT);
	for (int i = 0; i < MANY; i++) {
		waiting[i].on_turn = on_turn;
		assert_int_equal(hook_line_join(&line, &waiting[i], HOOK_LINE_UNBOUNDED), 0);
	}
	hook_line_leave(&waiting[5]);
	assert_int_equal(turns_taken, 0);
	hook_line_leave(&first);
	assert_int_equal(turns_taken, MANY - 1);
	assert_int_equal(line.running + line.waiting, 0);
	free(waiting);
}

/* Failures in a row, of those that ran before it was cold. */
static enum cooldown_change fail_often(struct cooldown *c, unsigned times, uint64_t now_ms)
{
	enum cooldown_change change = COOLDOWN_SAME;
	for (unsigned i = 0; i < times; i++)
		change = cooldown_note(c, 100, now_ms, true, false);
	return change;
}

static void cools_down(void **state)
{
	(void)state;
	struct cooldown c = {0};
	assert_int_equal(fail_often(&c, COOLDOWN_AFTER - 1, 0), COOLDOWN_SAME);
	assert_int_equal(cooldown_note(&c, 100, 0, false, false), COOLDOWN_SAME);
	assert_int_equal(fail_often(&c, COOLDOWN_AFTER - 1, 0), COOLDOWN_SAME);
	assert_false(cooldown_is_cold(&c, 100, 0));
	assert_false(cooldown_try(&c, 100));
	assert_int_equal(fail_often(&c, 1, 1000), COOLDOWN_BEGUN);
	assert_int_equal(fail_often(&c, 10, 1050), COOLDOWN_SAME);
	assert_true(cooldown_is_cold(&c, 100, 1099));
	assert_false(cooldown_is_cold(&c, 0, 1099));

	/* One at a time tries it. */
	assert_false(cooldown_is_cold(&c, 100, 1100));
	assert_true(cooldown_try(&c, 100));
	assert_true(cooldown_is_cold(&c, 100, 1100));
	cooldown_untried(&c);
	assert_false(cooldown_is_cold(&c, 100, 1100));
	assert_true(cooldown_try(&c, 100));
	assert_int_equal(cooldown_note(&c, 100, 2000, true, true), COOLDOWN_SAME);
	assert_true(cooldown_is_cold(&c, 100, 2199));
	assert_false(cooldown_is_cold(&c, 100, 2200));

	/* It grows, to a bound. */
	uint64_t now_ms = 10000;
	for (int i = 0; i < 40; i++, now_ms = c.until_ms) {
		assert_true(cooldown_try(&c, 100));
		cooldown_note(&c, 100, now_ms, true, true);
	}
	assert_int_equal(c.wait_ms, COOLDOWN_MOST_MS);
	assert_true(cooldown_try(&c, 100));
	assert_int_equal(cooldown_note(&c, 100, now_ms, false, true), COOLDOWN_OVER);
	assert_false(cooldown_is_cold(&c, 100, now_ms));
	assert_int_equal(fail_often(&c, COOLDOWN_AFTER, now_ms), COOLDOWN_BEGUN);
	assert_int_equal(c.wait_ms, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits),
		cmocka_unit_test(cannot_run),
		cmocka_unit_test(timeouts),
		cmocka_unit_test(other_users),
		cmocka_unit_test(timeout_ignored),
		cmocka_unit_test(outputs),
		cmocka_unit_test(grandchild_holds_pipes),
		cmocka_unit_test(surroundings),
		cmocka_unit_test(gate),
		cmocka_unit_test(groups),
		cmocka_unit_test(answers),
		cmocka_unit_test(answer_is_cut_at_a_line),
		cmocka_unit_test(not_every_line_is_told),
		cmocka_unit_test(environment),
		cmocka_unit_test(lines),
		cmocka_unit_test(cools_down),
	};
	uv_loop_init(&loop);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return uv_loop_close(&loop) ? 1 : failed;
}
