/* What is right as a config, and yet likely a mistake: it might be meant, or be mended before the daemon starts. Told line by
 * line, as "file: warning: setting: what comes of it (what to do)". Pure but for a look at what hooks and users there are. */
#ifndef STEWARD_CONFIG_WARNINGS_H
#define STEWARD_CONFIG_WARNINGS_H
#include "steward/config/config.h"
#include "steward/config/kernel.h"

struct warnings {
	const struct config *config;
	const struct kernel *kernel;
	void (*tell)(void *context, const char *line);
	void *context;
};

void warnings_tell(const struct warnings *w);

/* Of the times of one service only: those that cannot hold together, or not on this kernel. */
void warnings_tell_times(const struct warnings *w, size_t service);

/* One of them; `setting` is the path below services[service], and "" is the service itself. */
void warnings_add(const struct warnings *w, size_t service, const char *setting, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
