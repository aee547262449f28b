/* The table of settings: what stands in a config, said once. It feeds the parser, `steward --settings`, and the tests that hold
 * the manual and the example to it. Constant data; nobody owns it. */
#ifndef STEWARD_CONFIG_SETTINGS_H
#define STEWARD_CONFIG_SETTINGS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum setting_kind {
	SETTING_BOOL,        /* uint8_t */
	SETTING_NUMBER,      /* uint32_t, low..high */
	SETTING_MS,          /* uint32_t, duration in milliseconds, low..high ms */
	SETTING_S,           /* uint32_t, duration in whole seconds, low..high ms */
	SETTING_WORD,        /* one of words[]; its index as an integer of `size` bytes */
	SETTING_OCTAL,       /* permission bits as text; int32_t */
	SETTING_TEXT,        /* char *; any text of at most high bytes */
	SETTING_PATH,        /* char *; absolute */
	SETTING_PATH_ARRAY,  /* char[size]; absolute */
	SETTING_USER_ARRAY,  /* char[size]; the name of a user */
	SETTING_USER_NAME,   /* char *; the name of a user */
	SETTING_GROUP_NAME,  /* char *; the name of a group */
	SETTING_COMMAND,     /* char **; argv, the first an absolute path */
	SETTING_ENVIRONMENT, /* char **; "KEY=VALUE" */
	SETTING_REPLY,       /* a service's reject_message and its length */
	SETTING_LISTEN,      /* the rest of a service: what the parser knows by name */
	SETTING_BACKENDS,
	SETTING_NAME,
	SETTING_KEEPALIVE, /* a group, or false */
	SETTING_GROUP,     /* settings in settings */
	SETTING_DEFAULTS,  /* a group that is stored into each service, not into what the others of its group are */
	SETTING_SERVICES,  /* a list of groups */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset, size; /* where it is stored, within what its group stores into */
	uint64_t low, high;
	bool off;                       /* "off" is a value, and is 0 or NULL */
	bool own;                       /* each service has its own: not in defaults */
	const char *const *words;       /* SETTING_WORD, NULL-terminated */
	const struct setting *settings; /* of a group, ended by a NULL name */
	const char *value;              /* the default as it would be written; NULL: none; of what must be written: "" */
	const char *example;            /* where the default does not show what a value looks like */
	const char *meaning;
};

extern const struct setting settings_top[];
extern const struct setting settings_service[]; /* also what defaults may hold */
extern const struct setting settings_backend[]; /* one of a service's backends */

/* Of later versions: named, so that an operator who read about them elsewhere is told what is the
 * matter. The parent is the name of the group around it, "" at the top. */
bool setting_is_later(const char *parent, const char *name);

const struct setting *setting_find(const struct setting *group, const char *name); /* NULL: no such */

/* What a value of it looks like, for messages: "a duration, 1s to 24d". */
void setting_describe(const struct setting *setting, char *text, size_t size);

/* One setting a line: path, kind, default, meaning, between tabs. */
void settings_print(FILE *to);

#endif
