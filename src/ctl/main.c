/* tcpwardenctl: asks a running tcpwarden by its control socket. */
#include "ctl/channel.h"
#include "ctl/leases.h"
#include "ctl/print.h"
#include "ctl/upgrade.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_SOCKET TCPWARDEN_RUNSTATEDIR "/tcpwarden/control.sock"

struct command {
	const char *name;
	int least, most;      /* arguments */
	const char *argument; /* of the request, NULL: none */
	const char *usage;
	const char *meaning;
};

static const struct command commands[] = {
	{"status", 0, 0, NULL, "status", "what is in force, who runs, what is held"},
	{"sessions", 0, 1, "service", "sessions [SERVICE]", "those that live"},
	{"show", 1, 1, "id", "show ID", "one session"},
	{"probe", 1, 1, "id", "probe ID", "asks both its peers for a sign of life"},
	{"kill", 1, 1, "id", "kill [--now] ID", "ends a session; --now: without delivering what it still holds"},
	{"reload", 0, 0, NULL, "reload [--apply]",
		"reads the config file; on any error nothing changes; --apply: policies also apply to sessions that live"},
	{"drain", 1, 1, "what", "drain WHAT", "takes a service, or SERVICE/BACKEND, out of use"},
	{"resume", 1, 1, "what", "resume WHAT", "takes it into use again"},
	{"upgrade", 0, 0, NULL, "upgrade", "takes the programs that are installed now, without a session noticing"},
	{"leases", 0, 1, "history", "leases [--history [N]]", "those that there are; --history: the last N that are gone"},
	{"release", 1, 1, "id", "release LEASE", "tries now to release a lease whose release has failed"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

struct options {
	const char *socket;
	bool json, now, apply, history;
	const char *service, *client; /* of `leases`, or NULL */
};

static void help(FILE *to)
{
	fprintf(to, "usage: tcpwardenctl [--socket PATH] [--json] COMMAND\n\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-22s %s\n", commands[i].usage, commands[i].meaning);
	fprintf(to, "\n  --service NAME, --client ADDRESS   with leases: only those\n"
		    "  --socket PATH        of the control socket (" DEFAULT_SOCKET ")\n"
		    "  --json               the answer as it comes: a JSON object a line\n"
		    "  --version, --help\n\nExit: 0 done; 1 refused or failed, or a peer did not answer; 64 wrong usage; 69 "
		    "tcpwarden cannot be reached. "
		    "See tcpwardenctl(1).\n");
}

/* Whatever goes wrong with an answer, it was an answer. */
static int finish(json_t *answer, const struct command *command, bool json)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	bool ok = json_is_true(json_object_get(answer, "ok"));
	bool done = ok && (strcmp(command->name, "probe") != 0 || probe_is_answered(answer));
	json_t *lines = json_object_get(answer, ok ? "warnings" : "errors"), *line;
	size_t i;

	if (json)
		return done ? EXIT_SUCCESS : EXIT_FAILURE;
	json_array_foreach (lines, i, line)
		fprintf(stderr, "%s%s\n", ok ? "warning: " : "", json_string_value(line));
	if (!ok)
		fprintf(stderr, "tcpwardenctl: %s\n", error ? error : "refused");
	else if (strcmp(command->name, "status") == 0)
		print_status(answer);
	else if (strcmp(command->name, "show") == 0)
		print_fields(answer);
	else if (strcmp(command->name, "probe") == 0)
		print_probe(answer);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int take_answers(struct channel *channel, const struct command *command, const struct options *options)
{
	bool head = strcmp(command->name, "sessions") == 0 && !options->json;
	json_t *leases = strcmp(command->name, "leases") == 0 && !options->json ? json_array() : NULL, *object;

	if (head)
		print_session_head();
	while ((object = channel_next(channel))) {
		bool last = json_object_get(object, "ok") != NULL;
		int status = EXIT_SUCCESS;

		if (options->json) {
			json_dumpf(object, stdout, JSON_COMPACT);
			putchar('\n');
		}
		if (last && leases && json_is_true(json_object_get(object, "ok")))
			leases_print(leases, json_object_get(object, "leases"), options->history);
		if (last)
			status = finish(object, command, options->json);
		else if (leases)
			leases_take(leases, object, options->history);
		else if (!options->json)
			print_session(object);
		json_decref(object);
		if (last) {
			json_decref(leases);
			return fflush(stdout) == 0 ? status : EX_IOERR;
		}
	}
	json_decref(leases);
	fprintf(stderr,
		"tcpwardenctl: tcpwarden closed the connection before it had answered (is it being restarted? its log says)\n");
	return EX_UNAVAILABLE;
}

static const char *remedy(int error)
{
	switch (error) {
	case ENOENT:
		return "is tcpwarden running, and is control.socket of its config this path? --socket PATH names another";
	case ECONNREFUSED:
		return "tcpwarden is not running: systemctl status tcpwarden";
	case EACCES:
	case EPERM:
		return "be root, tcpwarden's own user, or a member of control.group";
	}
	return "--socket PATH names another";
}

static int run(const struct command *command, char **arguments, int count, const struct options *options)
{
	struct channel channel;
	json_t *request = json_pack("{s:s}", "request", command->name);
	int status, r = channel_open(&channel, options->socket);

	if (r < 0) {
		fprintf(stderr, "tcpwardenctl: %s: %s (%s)\n", options->socket, strerror(-r), remedy(-r));
		json_decref(request);
		return EX_UNAVAILABLE;
	}
	if (options->history)
		json_object_set_new(request, "history", count > 0 ? json_integer(atoll(arguments[0])) : json_true());
	else if (count > 0)
		json_object_set_new(request, command->argument, json_string(arguments[0]));
	if (options->service)
		json_object_set_new(request, "service", json_string(options->service));
	if (options->client)
		json_object_set_new(request, "client", json_string(options->client));
	if (options->now)
		json_object_set_new(request, "now", json_true());
	if (options->apply)
		json_object_set_new(request, "apply", json_true());
	r = channel_ask(&channel, request);
	json_decref(request);
	/* Even if it did not take the request: it may have said why. */
	status = strcmp(command->name, "upgrade") == 0 ? upgrade_follow(&channel, options->socket, options->json)
						       : take_answers(&channel, command, options);
	channel_close(&channel);
	return r < 0 && status == EXIT_SUCCESS ? EX_UNAVAILABLE : status;
}

static int misuse(const char *what, const char *which)
{
	fprintf(stderr, "tcpwardenctl: %s%s%s (--help lists what there is)\n", what, which ? " " : "", which ? which : "");
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	enum {
		OPTION_SOCKET = 's',
		OPTION_JSON = 'j',
		OPTION_NOW = 256,
		OPTION_APPLY,
		OPTION_HISTORY,
		OPTION_SERVICE,
		OPTION_CLIENT,
		OPTION_VERSION,
		OPTION_HELP = 'h'
	};
	static const struct option longs[] = {
		{"socket", required_argument, NULL, OPTION_SOCKET},
		{"json", no_argument, NULL, OPTION_JSON},
		{"now", no_argument, NULL, OPTION_NOW},
		{"apply", no_argument, NULL, OPTION_APPLY},
		{"history", no_argument, NULL, OPTION_HISTORY},
		{"service", required_argument, NULL, OPTION_SERVICE},
		{"client", required_argument, NULL, OPTION_CLIENT},
		{"version", no_argument, NULL, OPTION_VERSION},
		{"help", no_argument, NULL, OPTION_HELP},
		{NULL, 0, NULL, 0},
	};
	struct options options = {.socket = DEFAULT_SOCKET};
	const struct command *command = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "s:jh", longs, NULL)) != -1)
		switch (o) {
		case OPTION_SOCKET:
			options.socket = optarg;
			break;
		case OPTION_JSON:
			options.json = true;
			break;
		case OPTION_NOW:
			options.now = true;
			break;
		case OPTION_APPLY:
			options.apply = true;
			break;
		case OPTION_HISTORY:
			options.history = true;
			break;
		case OPTION_SERVICE:
			options.service = optarg;
			break;
		case OPTION_CLIENT:
			options.client = optarg;
			break;
		case OPTION_VERSION:
			printf("tcpwardenctl %s\n", TCPWARDEN_VERSION);
			return EXIT_SUCCESS;
		case OPTION_HELP:
			help(stdout);
			return EXIT_SUCCESS;
		default:
			return EX_USAGE; /* getopt_long has said what is wrong */
		}
	if (optind == argc) {
		help(stderr);
		return EX_USAGE;
	}
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			command = &commands[i];
	if (!command)
		return misuse("there is no command", argv[optind]);
	argc -= optind + 1;
	argv += optind + 1;
	if (argc < command->least || argc > command->most)
		return misuse("use it as", command->usage);
	if (options.now && strcmp(command->name, "kill") != 0)
		return misuse("--now is for kill only", NULL);
	if (options.apply && strcmp(command->name, "reload") != 0)
		return misuse("--apply is for reload only", NULL);
	bool leases = strcmp(command->name, "leases") == 0;
	if (!leases && (options.history || options.service || options.client))
		return misuse("--history, --service and --client are for leases only", NULL);
	if (leases && argc > 0 && (!options.history || strspn(argv[0], "0123456789") != strlen(argv[0]) || strlen(argv[0]) > 9))
		return misuse("use it as", command->usage);
	return run(command, argv, argc, &options);
}
