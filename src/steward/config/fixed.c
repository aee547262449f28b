#include "steward/config/fixed.h"

#include <stdio.h>
#include <string.h>

static bool differ(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

void fixed_tell(const struct config *old, const struct config *new, void (*tell)(void *context, const char *line), void *context)
{
	const struct message_settings *a = &old->settings, *b = &new->settings;
	const struct {
		bool differs;
		const char *what;
	} fixed[] = {
		{differ(a->state_directory, b->state_directory), "state_directory: takes effect when tcpwarden is restarted"},
		{a->sessions_max != b->sessions_max,
			"limits.connections: what the tables of running relays can hold changes when tcpwarden is restarted"},
		{differ(a->user_relay, b->user_relay) || differ(a->user_status, b->user_status),
			"users: takes effect when tcpwarden is restarted"},
		{differ(old->control_socket, new->control_socket) || differ(old->control_group, new->control_group) ||
				old->control_mode != new->control_mode,
			"control: takes effect when tcpwarden is restarted"},
	};

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		char line[PATH_MAX + 256];

		if (!fixed[i].differs)
			continue;
		snprintf(line, sizeof line, "%s: %s", new->file, fixed[i].what);
		tell(context, line);
	}
}
