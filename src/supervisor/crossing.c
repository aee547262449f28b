#include "supervisor/crossing.h"

#include "base/capability.h"
#include "supervisor/tree.h"
#include "wire/say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 512 };

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
enum { FATAL = sizeof fatal / sizeof *fatal };

/* For a return out of a signal handler, so all of it made before. */
static struct {
	struct passage *passage;
	int fd, supervisor; /* -1: none: we have not come from one, or are up */
	uint64_t capabilities;
	char *argv[4], *environment[ENVIRONMENT_MAX];
} way_back = {.fd = -1, .supervisor = -1};

/* An exec takes capabilities from a user that is not root, unless they are ambient. */
static int keep_capabilities(uint64_t have, bool keep)
{
	int r = capability_set(have, keep ? have : 0);

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int c = 0; r == 0 && keep && c < 64; c++)
		if ((have >> c & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
			r = -errno;
	return r;
}

static int exec_program(int fd, char *const *argv, char *const *environment)
{
	syscall(SYS_execveat, fd, "", argv, environment, AT_EMPTY_PATH);
	return -errno;
}

/* They are among those of the estate, if it was not full. */
static int note_programs(struct passage *p, enum passage_side side, const struct program_set *set)
{
	p->number[side] = set->number;
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		if (passage_find_program(p, side, kind) != set->of[kind].fd)
			return -ENOSPC;
		memcpy(p->path[kind], set->of[kind].path, PATH_MAX);
	}
	return 0;
}

static int fill(struct passage *p, const struct tree *tree)
{
	const struct upgrade *upgrade = &tree->upgrade;
	int r = 0;

	p->back = upgrade->back;
	p->allowed_ms = tree->settings.upgrade_timeout_ms;
	for (uint32_t i = 0; i < tree->estate.count && r == 0; i++) {
		char name[ESTATE_NAME_SIZE];

		estate_format_name(&tree->estate.items[i].name, name);
		r = passage_add(p, name, tree->estate.items[i].fd);
	}
	for (int i = 0; i < tree->inherited.count && r == 0; i++)
		r = passage_add(p, tree->inherited.sockets[i].name.text, tree->inherited.sockets[i].fd);
	/* Whichever way we go, we are the one side of it, and who is to be is the other. */
	if (r == 0)
		r = note_programs(p, upgrade->back ? PASSAGE_NEW : PASSAGE_FORMER, &tree->programs);
	if (r == 0)
		r = note_programs(p, upgrade->back ? PASSAGE_FORMER : PASSAGE_NEW, &upgrade->other);
	return r;
}

int crossing_go(struct tree *tree)
{
	const struct program *program = &tree->upgrade.other.of[PROGRAM_SUPERVISOR];
	char *argv[] = {
		(char *)(uintptr_t)program->path, (char *)(uintptr_t) "--config", (char *)(uintptr_t)tree->config_path, NULL};
	struct passage *passage;
	sigset_t all, before;
	char number[16];
	int fd, r = passage_create(&passage, &fd);

	if (r < 0)
		return r;
	r = fill(passage, tree);
	if (r == 0)
		r = keep_capabilities(tree->privilege.have, true);
	if (r == 0) {
		snprintf(number, sizeof number, "%d", fd);
		setenv(PASSAGE_VARIABLE, number, 1);
		notify_export(&tree->notify, true);
		store_export(&tree->estate.store, true);
		passage_keep(passage, fd, true);
		/* Signals wait until someone is there again to hear them. */
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &before);
		r = exec_program(program->fd, argv, environ);
		sigprocmask(SIG_SETMASK, &before, NULL);
		passage_keep(passage, fd, false);
		store_export(&tree->estate.store, false);
		notify_export(&tree->notify, false);
		unsetenv(PASSAGE_VARIABLE);
	}
	keep_capabilities(tree->privilege.have, false);
	passage_close(passage);
	close(fd);
	return r;
}

/* Only calls that signal-safety(7) allows. */
void crossing_return(const char *why)
{
	struct passage *p = way_back.passage;
	size_t i = 0;

	if (way_back.supervisor < 0)
		return;
	for (; why[i] && i < sizeof p->error - 1; i++)
		p->error[i] = why[i];
	p->error[i] = '\0';
	p->back = 1;
	passage_keep(p, way_back.fd, true);
	keep_capabilities(way_back.capabilities, true);
	alarm(0); /* it would go on over the exec */
	exec_program(way_back.supervisor, way_back.argv, way_back.environment);
}

static void on_fatal(int number)
{
	if (way_back.passage && !way_back.passage->back)
		crossing_return(number == SIGALRM ? "the new supervisor does not come up in time" : "the new supervisor crashed");
	signal(number, SIG_DFL);
	raise(number);
}

static void watch_fatal(bool on)
{
	struct sigaction action = {.sa_handler = on ? on_fatal : SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < FATAL; i++) {
		sigaction(fatal[i], &action, NULL);
		sigaddset(&set, fatal[i]);
	}
	if (on)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void take_programs(struct program_set *set, const struct passage *p, enum passage_side side)
{
	set->number = p->number[side];
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		set->of[kind].fd = passage_find_program(p, side, kind);
		memcpy(set->of[kind].path, p->path[kind], sizeof set->of[kind].path);
	}
}

static void take_descriptors(struct tree *tree, const struct passage *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		const struct passage_item *item = &p->items[i];
		struct inherited *inherited = &tree->inherited;

		if (estate_is_name(item->name)) {
			estate_find(&tree->estate, item->name, item->fd);
		} else if (inherited->count < INHERITED_MAX) {
			inherited->sockets[inherited->count].fd = item->fd;
			memcpy(inherited->sockets[inherited->count++].name.text, item->name, sizeof item->name);
		}
	}
}

int crossing_arrive(struct tree *tree)
{
	const char *number = getenv(PASSAGE_VARIABLE);
	struct upgrade *upgrade = &tree->upgrade;
	struct passage *p;
	int fd, r;

	if (!number)
		return 0;
	fd = (int)strtol(number, NULL, 10);
	unsetenv(PASSAGE_VARIABLE);
	r = passage_open(&p, fd);
	if (r < 0)
		return r;
	upgrade->found = p;
	upgrade->found_fd = fd;
	upgrade->back = p->back;
	memcpy(upgrade->state.text, p->error, sizeof upgrade->state.text);
	take_programs(&tree->programs, p, p->back ? PASSAGE_FORMER : PASSAGE_NEW);
	take_programs(&upgrade->other, p, p->back ? PASSAGE_NEW : PASSAGE_FORMER);
	if (!p->back) {
		static char variable[] = "--config";

		way_back.passage = p;
		way_back.fd = fd;
		way_back.supervisor = upgrade->other.of[PROGRAM_SUPERVISOR].fd;
		way_back.argv[0] = tree->programs.of[PROGRAM_SUPERVISOR].path;
		way_back.argv[1] = variable;
		way_back.argv[2] = (char *)(uintptr_t)tree->config_path;
		capability_get_permitted(&way_back.capabilities);
		watch_fatal(true);
		alarm(p->allowed_ms / 1000 + 1);
	}
	take_descriptors(tree, p);
	passage_keep(p, fd, false);
	return 1;
}

#ifdef TEST_VERSION
const char *crossing_fault(void)
{
	const char *fault = getenv("TCPWARDEN_TEST_ARRIVAL");

	if (!fault || way_back.supervisor < 0)
		return NULL;
	if (strcmp(fault, "fails") == 0)
		return "a test";
	if (strcmp(fault, "crashes") == 0)
		abort();
	for (;;)
		pause();
}
#else
const char *crossing_fault(void)
{
	return NULL;
}
#endif

void crossing_arrived(struct tree *tree)
{
	struct upgrade *upgrade = &tree->upgrade;
	sigset_t none;

	alarm(0);
	way_back.supervisor = -1;
	way_back.passage = NULL;
	watch_fatal(false);
	passage_close(upgrade->found);
	close(upgrade->found_fd);
	upgrade->found = NULL;
	upgrade->found_fd = -1;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void crossing_remember(void)
{
	for (size_t i = 0; environ[i] && i < ENVIRONMENT_MAX - 1; i++)
		way_back.environment[i] = environ[i];
}
