#include "supervisor/capacity.h"

#include "wire/ledger.h"

#include <dirent.h>
#include <sys/resource.h>

/* Channels, listeners, the loop, the plan, and what is accepted only to be refused. */
enum { RESERVE = 512 };

uint32_t capacity_pipes(uint64_t nofile)
{
	return nofile / 32 < LEDGER_PIPES ? (uint32_t)(nofile / 32) : LEDGER_PIPES;
}

uint32_t capacity_slots(uint64_t nofile)
{
	/*   nofile = reserve + 2 × pipes + 2 × slots
	 * A small limit (1024 is still common) would be eaten up by the reserve: there it is a quarter of the limit. */
	uint64_t reserve = nofile / 4 < RESERVE ? nofile / 4 : RESERVE;
	uint64_t taken = reserve + 2 * (uint64_t)capacity_pipes(nofile);
	uint64_t slots = nofile > taken ? (nofile - taken) / 2 : 0;

	if (slots < 1)
		return 1;
	return slots < LEDGER_SLOTS_MAX ? (uint32_t)slots : LEDGER_SLOTS_MAX;
}

uint64_t capacity_limit(void)
{
	struct rlimit nofile;

	return getrlimit(RLIMIT_NOFILE, &nofile) < 0 ? 1024 : nofile.rlim_max;
}

uint64_t capacity_left(void)
{
	struct rlimit nofile;
	uint64_t taken = 0;
	DIR *list = opendir("/proc/self/fd");

	if (!list || getrlimit(RLIMIT_NOFILE, &nofile) < 0)
		nofile.rlim_cur = 0;
	while (list && readdir(list))
		taken++;
	if (list)
		closedir(list);
	return nofile.rlim_cur > taken ? nofile.rlim_cur - taken : 0;
}

void capacity_raise(uint64_t wanted)
{
	struct rlimit nofile;

	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0 && nofile.rlim_cur < wanted) {
		nofile.rlim_cur = nofile.rlim_max < wanted ? nofile.rlim_max : wanted;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
}
