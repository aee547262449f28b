#include "supervisor/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#define DEFAULT_CONFIG TCPWARDEN_SYSCONFDIR "/tcpwarden/tcpwarden.conf"

const char options_usage[] = "usage: tcpwarden [-c FILE]                        run the service\n"
			     "       tcpwarden --check [FILE]                   check the config file, change nothing\n"
			     "       tcpwarden [-c FILE] --explain [SERVICE]    after how long what is given up, on this kernel\n"
			     "       tcpwarden --end-tree                       for the unit: end what a dead supervisor left\n"
			     "       tcpwarden --version | --help\n"
			     "\n"
			     "  -c, --config FILE   the config file (" DEFAULT_CONFIG ")\n"
			     "\n"
			     "Manual pages: tcpwarden(8), tcpwarden.conf(5), tcpwardenctl(1), tcpwarden-hooks(7).\n";

int options_parse(struct options *ret, int argc, char **argv, char error[256])
{
	enum { CHECK = 256, EXPLAIN, END_TREE, SHOW_VERSION };
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, CHECK},
		{"explain", no_argument, NULL, EXPLAIN},
		{"end-tree", no_argument, NULL, END_TREE},
		{"version", no_argument, NULL, SHOW_VERSION},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.command = COMMAND_RUN, .config = DEFAULT_CONFIG};
	bool config_given = false;
	int c;

	optind = 0; /* getopt(3): start afresh */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:h", known, NULL)) != -1) {
		enum command command = o.command;

		switch (c) {
		case 'c':
			o.config = optarg;
			config_given = true;
			if (!*o.config) {
				snprintf(error, 256, "--config: the name of the file is empty");
				return -EINVAL;
			}
			break;
		case CHECK:
			command = COMMAND_CHECK;
			break;
		case EXPLAIN:
			command = COMMAND_EXPLAIN;
			break;
		case END_TREE:
			command = COMMAND_END_TREE;
			break;
		case SHOW_VERSION:
			command = COMMAND_VERSION;
			break;
		case 'h':
			command = COMMAND_HELP;
			break;
		case ':':
			snprintf(error, 256, "%s needs the name of a file", argv[optind - 1]);
			return -EINVAL;
		default: /* getopt's '?' */
			snprintf(error, 256, "unknown option %s (tcpwarden --help lists them all)", argv[optind - 1]);
			return -EINVAL;
		}
		if (o.command != COMMAND_RUN && command != o.command) {
			snprintf(error, 256, "only one of --check, --explain, --end-tree, --version and --help can be asked for");
			return -EINVAL;
		}
		o.command = command;
	}
	if (optind < argc && o.command == COMMAND_CHECK && !config_given && *argv[optind])
		o.config = argv[optind++];
	if (optind < argc && o.command == COMMAND_EXPLAIN && *argv[optind])
		o.service = argv[optind++];
	if (optind < argc) {
		snprintf(error, 256, "%s: unexpected argument (a config file is given by --config %s)", argv[optind],
			argv[optind]);
		return -EINVAL;
	}
	*ret = o;
	return 0;
}
