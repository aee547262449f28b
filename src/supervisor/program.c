#include "supervisor/program.h"

#include "wire/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

const char *const program_words[PROGRAMS] = {
	[PROGRAM_SUPERVISOR] = "supervisor", [PROGRAM_STEWARD] = "steward", [PROGRAM_RELAY] = "relay"};

void program_set_init(struct program_set *set)
{
	set->number = 0;
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		set->of[kind].fd = -1;
		set->of[kind].path[0] = '\0';
	}
}

int program_open(struct program *ret, const char *path)
{
	ret->fd = open(path, O_PATH | O_CLOEXEC);
	if (ret->fd < 0)
		return -errno;
	snprintf(ret->path, sizeof ret->path, "%s", path);
	return 0;
}

/* As we were called, if that says where: a link there may lead elsewhere after an upgrade. */
static void find_self(char path[PATH_MAX], const char *self)
{
	ssize_t n = *self == '/' ? snprintf(path, PATH_MAX, "%s", self) : readlink("/proc/self/exe", path, PATH_MAX - 1);

	path[n < 0 ? 0 : n < PATH_MAX ? n : PATH_MAX - 1] = '\0';
}

int program_set_find(struct program_set *set, const char *self, char error[512])
{
	set->number = 1;
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		char path[PATH_MAX];
		int r = 0;

		if (kind == PROGRAM_SUPERVISOR)
			find_self(path, self);
		else
			r = programs_find(path, program_words[kind], error);
		if (r)
			return r;
		r = program_open(&set->of[kind], kind == PROGRAM_SUPERVISOR ? "/proc/self/exe" : path);
		snprintf(set->of[kind].path, PATH_MAX, "%s", path);
		if (r < 0) {
			snprintf(error, 512, "%.400s: %s", path, strerror(-r));
			return EX_OSFILE;
		}
	}
	return 0;
}

static void close_all(struct program_set *set)
{
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		if (set->of[kind].fd >= 0)
			close(set->of[kind].fd);
		set->of[kind].fd = -1;
	}
}

int program_set_open_anew(struct program_set *ret, const struct program_set *set, const char **ret_failed)
{
	program_set_init(ret);
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		int r = program_open(&ret->of[kind], set->of[kind].path);

		if (r < 0) {
			*ret_failed = set->of[kind].path;
			close_all(ret);
			return r;
		}
	}
	ret->number = set->number + 1;
	return 0;
}

bool program_set_is(const struct program_set *set, const struct program_set *other)
{
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++) {
		struct stat a, b;

		if (fstat(set->of[kind].fd, &a) < 0 || fstat(other->of[kind].fd, &b) < 0 || a.st_dev != b.st_dev ||
			a.st_ino != b.st_ino)
			return false;
	}
	return true;
}

struct estate_name program_name(enum program_kind kind, uint32_t number)
{
	return (struct estate_name){ESTATE_PROGRAM, kind, number};
}

void program_set_leave(const struct program_set *set, struct estate *estate)
{
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		estate_leave(estate, program_name(kind, set->number), set->of[kind].fd);
}

int program_set_take(struct program_set *ret, struct estate *estate, uint32_t number, const struct program_set *paths)
{
	struct program_set set = *paths;

	set.number = number;
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		if (!estate_has(estate, program_name(kind, number)))
			return -ENOENT;
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		set.of[kind].fd = estate_take(estate, program_name(kind, number));
	*ret = set;
	return 0;
}

void program_set_close(struct program_set *set, struct estate *estate)
{
	for (enum program_kind kind = 0; kind < PROGRAMS; kind++)
		estate_withdraw(estate, program_name(kind, set->number));
	close_all(set);
}
