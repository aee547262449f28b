/* The lines in which hooks wait for their turn (hook/line.h), one for each kind of hook of each service that ever had one, and
 * how its acquire does (hook/cooldown.h). A member of struct leases; ends by service_lines_fini. */
#ifndef STEWARD_LEASE_SERVICE_LINES_H
#define STEWARD_LEASE_SERVICE_LINES_H
#include "steward/config/config.h"
#include "steward/hook/cooldown.h"
#include "steward/hook/environment.h"
#include "steward/hook/line.h"

struct service_line;

struct service_lines {
	struct service_line *first;
};

/* Made if there is none, with the concurrency that the config (or NULL) gives it. It stays where it is. NULL: no memory. */
struct hook_line *service_lines_get(
	struct service_lines *lines, const struct config *config, const char *service, enum hook_event event);

/* Of its acquire; likewise. */
struct cooldown *service_lines_cooldown(struct service_lines *lines, const struct config *config, const char *service);

/* Another config is in force: who may run by it now gets its turn, and what was cold may be mended. */
void service_lines_configure(struct service_lines *lines, const struct config *config);

void service_lines_fini(struct service_lines *lines);

#endif
