/* A program of another version of a role that answers rightly what an upgrade asks, and then cannot do its work. Its file is
 * called faulty-WHAT-ROLE; TCPWARDEN_REAL_ROLE names the program that answers. "dumb" does not even answer. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[PATH_MAX] = "", variable[64], *what, *role;

	if (readlink("/proc/self/exe", path, sizeof path - 1) < 0 || !(what = strstr(path, "faulty-")) ||
		!(role = strrchr(what, '-')))
		return 2;
	what += strlen("faulty-");
	*role++ = '\0';
	snprintf(variable, sizeof variable, "TCPWARDEN_REAL_%s", role);
	if (strcmp(what, "dumb") == 0)
		return 3;
	if (argc > 1 &&
		(strcmp(argv[1], "--versions") == 0 || strcmp(argv[1], "--can-read") == 0 || strcmp(argv[1], "--check") == 0)) {
		execv(getenv(variable), argv);
		return 2;
	}
	if (strcmp(what, "crashes") == 0)
		abort();
	if (strcmp(what, "exits") == 0)
		return 1;
	for (;;)
		pause();
}
