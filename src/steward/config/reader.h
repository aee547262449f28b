/* One reading of a config: the object being made, the errors found so far, and what must be known of one service while the next
 * is read. On the stack of config_parse; reader.c keeps the errors, parse.c walks the groups, service.c and command.c read what
 * is a service's and a hook's. */
#ifndef STEWARD_CONFIG_READER_H
#define STEWARD_CONFIG_READER_H
#include "steward/config/config.h"
#include "steward/config/settings.h"

#include <libconfig.h>

enum { READER_PATH = 160 };

struct reader {
	const char *file;
	struct config *config;
	struct error_line {
		unsigned line;
		size_t order; /* errors of one line stay in the order in which they were found */
		char *text;
	} * errors;
	size_t error_count, error_room;
	bool muted; /* what is read now was complained of before */
	bool again; /* the text was accepted before */
	bool no_memory;
	const config_setting_t *defaults;
	struct known_listener {
		struct address address;
		char path[READER_PATH];
		unsigned line;
	} * listeners;
	size_t listener_count;
};

void reader_init(struct reader *reader, const char *file, struct config *config);
void reader_fini(struct reader *reader);

/* "FILE:LINE: path: ..." */
void reader_complain(struct reader *reader, unsigned line, const char *path, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Moves the errors out, in the order of the file. 0 or -ENOMEM. */
int reader_take_errors(struct reader *reader, struct config_errors *ret);

/* The value is of a type that does not fit the setting. */
void reader_complain_type(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value);

/* Each setting that stands in the group, into `into`; `parent` is the group's own name, "" at the top. */
void read_group(struct reader *reader, const char *path, const char *parent, const struct setting *settings,
	const config_setting_t *group, void *into);

/* command.c: of a hook; `into` is the struct that the setting's offset counts from. */
void read_command(
	struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value, void *into);
void read_environment(
	struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value, void *into);

/* users.c: who a hook of that group, a service or the defaults, runs as; when all else of it has been read. */
void read_hook_user(
	struct reader *reader, const char *path, const config_setting_t *group, enum hook_event event, struct hook_config *hook);

/* service.c: of a service. */
void read_name(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value,
	struct service_config *service);
void read_listen(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value,
	struct service_config *service);
void read_backends(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value,
	struct service_config *service);
void read_reply(struct reader *reader, const char *path, const struct setting *setting, const config_setting_t *value,
	struct service_config *service);
void read_services(struct reader *reader, const config_setting_t *services);

#endif
