/* tcpwarden(8): the supervisor. It starts and watches the other roles, and hands --check and --explain to the steward's program,
 * which alone has the parser. */
#include "supervisor/end_tree.h"
#include "supervisor/options.h"
#include "supervisor/tree.h"
#include "wire/census.h"
#include "wire/programs.h"
#include "wire/say.h"
#include "wire/versions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static struct tree tree;

static const struct version versions[] = {VERSION_ONLY("passage", PASSAGE_VERSION), VERSION_ONLY("estate", ESTATE_VERSION),
	VERSION_ONLY("message", MESSAGE_VERSION), VERSION_ONLY("ledger", LEDGER_VERSION), VERSION_ONLY("census", CENSUS_VERSION),
	VERSIONS_END};

static int ask_steward(const struct options *options)
{
	char path[PATH_MAX];
	const char *what = options->command == COMMAND_EXPLAIN ? "--explain" : "--check";
	const char *argv[] = {"tcpwarden", what, options->config, options->service, NULL};
	char error[512];
	int r = programs_find(path, "steward", error);

	if (r) {
		fprintf(stderr, "tcpwarden: %s\n", error);
		return r;
	}
	execv(path, (char *const *)(uintptr_t)argv); /* execv only reads them */
	fprintf(stderr, "tcpwarden: %s: %s\n", path, strerror(errno));
	return EX_OSERR;
}

/* A descriptor that we open must not become someone's standard output. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options options;
	char error[256];
	int status;

	fill_standard_descriptors();
	status = versions_main(versions, argc, argv);
	if (status >= 0)
		return status;
	if (options_parse(&options, argc, argv, error) < 0) {
		fprintf(stderr, "tcpwarden: %s\n%s", error, options_usage);
		return EX_USAGE;
	}
	switch (options.command) {
	case COMMAND_VERSION:
		puts("tcpwarden " TCPWARDEN_VERSION);
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	case COMMAND_HELP:
		fputs(options_usage, stdout);
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	case COMMAND_CHECK:
	case COMMAND_EXPLAIN:
		return ask_steward(&options);
	case COMMAND_END_TREE:
		return end_tree(&tree, argv[0], options.config);
	case COMMAND_RUN:
		break;
	}
	say_open("supervisor");
	return tree_run(&tree, argv[0], options.config);
}
