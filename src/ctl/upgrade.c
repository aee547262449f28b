#include "ctl/upgrade.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	LOOK_MS = 100,
	UNREACHABLE_LOOKS = 600, /* a steward may take that long to be there again: leases are brought to order first */
	UNBEGUN_LOOKS = 100,     /* the request got lost with its steward */
};

/* A new reference; NULL: it cannot be reached now. */
static json_t *ask_status(const char *socket)
{
	struct channel channel;
	json_t *request, *status = NULL;

	if (channel_open(&channel, socket) < 0)
		return NULL;
	request = json_pack("{s:s}", "request", "status");
	if (channel_ask(&channel, request) == 0)
		status = channel_next(&channel);
	json_decref(request);
	channel_close(&channel);
	return status;
}

/* -1: it is not over. */
static int judge(json_t *status, json_int_t after, bool json)
{
	json_t *upgrade = json_object_get(status, "upgrade");
	const char *state = json_string_value(json_object_get(upgrade, "state"));
	const char *error = json_string_value(json_object_get(upgrade, "error"));
	const char *version = json_string_value(json_object_get(status, "version"));
	bool done = state && strcmp(state, "done") == 0;

	if (!state || json_integer_value(json_object_get(upgrade, "number")) <= after || strcmp(state, "under way") == 0)
		return -1;
	if (json) {
		json_t *answer =
			json_pack("{s:b, s:s*, s:s*}", "ok", (int)done, "version", version, "error", done ? NULL : error);

		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(answer);
	} else if (done) {
		printf("version %s serves\n", version ? version : "?");
	} else {
		fprintf(stderr, "tcpwardenctl: the upgrade was given up, version %s goes on: %s\n", version ? version : "?",
			error && *error ? error : "its log says why");
	}
	return fflush(stdout) != 0 ? EX_IOERR : done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool is_under_way(json_t *status)
{
	const char *state = json_string_value(json_object_get(json_object_get(status, "upgrade"), "state"));

	return state && strcmp(state, "under way") == 0;
}

int upgrade_follow(struct channel *channel, const char *socket, bool json)
{
	json_t *answer = channel_next(channel);
	const char *error = json_string_value(json_object_get(answer, "error"));
	json_int_t after = json_integer_value(json_object_get(answer, "after"));
	int unreachable = 0, unbegun = 0, result = -1; /* looks: in a row; in all, since who tells may die again and again */

	if (!json_is_true(json_object_get(answer, "ok"))) {
		fprintf(stderr, "tcpwardenctl: %s\n", error ? error : "refused");
		json_decref(answer);
		return EXIT_FAILURE;
	}
	json_decref(answer);
	while (result < 0 && unreachable < UNREACHABLE_LOOKS && unbegun < UNBEGUN_LOOKS) {
		json_t *status = ask_status(socket);

		unreachable = status ? 0 : unreachable + 1;
		unbegun += status && !is_under_way(status);
		if (status)
			result = judge(status, after, json);
		json_decref(status);
		if (result < 0)
			usleep(LOOK_MS * 1000);
	}
	if (result >= 0)
		return result;
	fprintf(stderr, "tcpwardenctl: %s\n",
		unbegun ? "no upgrade was begun (was tcpwarden being restarted? its log says)"
			: "tcpwarden cannot be reached any more; its log says how the upgrade went");
	return unbegun ? EXIT_FAILURE : EX_UNAVAILABLE;
}
