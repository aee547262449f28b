#include "steward/config/warnings.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE = 1024 };

void warnings_add(const struct warnings *w, size_t service, const char *setting, const char *format, ...)
{
	char what[LINE / 2], line[LINE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	snprintf(line, sizeof line, "%s: warning: services[%zu]%s%s: %s", w->config->file, service, setting[0] ? "." : "",
		setting, what);
	w->tell(w->context, line);
}

static void tell_hook(const struct warnings *w, size_t service, const char *name, const struct hook_config *hook)
{
	char setting[64];
	const char *program;
	struct stat st;

	if (!hook->command)
		return;
	program = hook->command[0];
	snprintf(setting, sizeof setting, "hooks.%s.command", name);
	if (stat(program, &st) < 0)
		warnings_add(w, service, setting, "%s: %s", program, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		warnings_add(w, service, setting, "%s: not a program that can be run (chmod +x?)", program);
	snprintf(setting, sizeof setting, "hooks.%s.directory", name);
	if (hook->directory && (stat(hook->directory, &st) < 0 || !S_ISDIR(st.st_mode)))
		warnings_add(w, service, setting, "%s: no such directory", hook->directory);
}

static void tell_limits(const struct warnings *w, size_t service, const struct service_config *s)
{
	bool addresses = false;

	for (size_t i = 0; i < s->listen_count; i++)
		addresses |= s->listen[i].kind != ADDRESS_UNIX;
	if (s->reject_message && !s->limit_connections && !s->limit_per_client)
		warnings_add(w, service, "limits", "a reject_message without a limit is never sent");
	if (s->limit_per_client && s->limit_connections && s->limit_per_client >= s->limit_connections)
		warnings_add(w, service, "limits.per_client", "it has no effect beside connections = %u", s->limit_connections);
	if (s->on_limit == ON_LIMIT_RECLAIM && !s->limit_connections && !s->limit_per_client)
		warnings_add(w, service, "limits.on_limit", "it has no effect without a limit");
	if (s->on_limit == ON_LIMIT_RECLAIM && !s->reclaim_timeout_ms)
		warnings_add(w, service, "limits.on_limit", "it has no effect with reclaim_timeout = \"0s\"");
	if (s->limit_per_client && !addresses)
		warnings_add(w, service, "limits.per_client", "it has no effect: clients of unix sockets have no address");
}

void warnings_tell(const struct warnings *w)
{
	const struct config *config = w->config;

	if (config->control_group && !getgrnam(config->control_group)) {
		char line[LINE];

		snprintf(line, sizeof line, "%s: warning: control.group: there is no group \"%s\" on this machine", config->file,
			config->control_group);
		w->tell(w->context, line);
	}
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];

		for (enum hook_event event = 0; event < HOOK_EVENTS; event++)
			tell_hook(w, i, hook_event_word(event), service_hook(s, event));
		if (s->acquire.command && !s->release.command)
			warnings_add(w, i, "hooks", "an acquire without a release: what it takes is never given back");
		tell_limits(w, i, s);
		warnings_tell_times(w, i);
	}
}
