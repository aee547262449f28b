/* The config: what an operator wrote, parsed into one object that is complete, checked, and never changed again.
 *
 * config_parse collects every error that it can find; an object comes out only when there is none. The object owns all that
 * it points to and dies whole with config_free. Names are not resolved here (resolver.h does) and nothing is opened. */
#ifndef STEWARD_CONFIG_CONFIG_H
#define STEWARD_CONFIG_CONFIG_H
#include "steward/config/hook_user.h"
#include "wire/ledger.h"
#include "wire/message.h"
#include "wire/plan.h"
#include "wire/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address as configured, taken apart; not resolved. */
enum address_kind { ADDRESS_HOST, ADDRESS_UNIX, ADDRESS_SYSTEMD };
struct address {
	enum address_kind kind;
	bool any_family;              /* "*:80": IPv6 socket that also takes IPv4 */
	uint16_t port;                /* ADDRESS_HOST */
	char text[ADDRESS_TEXT_SIZE]; /* as written: names it to people, and makes it the same after a reload */
	char host[ADDRESS_TEXT_SIZE]; /* name or numeric address without brackets; unix: the path; systemd: the name */
};

enum hook_mode { HOOK_MODE_EXEC, HOOK_MODE_HELPER };

/* When a hook is run. */
enum hook_event {
	HOOK_ACQUIRE,
	HOOK_CONNECTED,
	HOOK_RENEW,
	HOOK_RELEASE,
	HOOK_PREPARE_LISTEN, /* of the service itself, as the next */
	HOOK_SHUTDOWN,
	HOOK_EVENTS
};

/* A program that is run. The list is NULL-terminated. */
struct hook_config {
	char **command; /* NULL: no such hook */
	uint32_t timeout_ms;
	uint32_t concurrency;
	uint32_t queue; /* acquire */
	enum hook_mode mode;
	uint32_t cooldown_ms; /* acquire; 0: never */
	uint32_t every_ms;    /* renew */
	bool allow_on_error;  /* on_error = "allow" */
	char *user, *group;   /* names; NULL: its own group; ourselves */
	char *user_at;        /* "file:line: setting", where the user is named; NULL: nowhere */
	struct hook_user runs_as;
	char *directory;    /* NULL: the state directory, or / for another user */
	char **environment; /* "KEY=VALUE", NULL-terminated, or NULL */
	int umask;          /* -1: as inherited */
};

struct backend_config {
	struct address address;
};

enum { RECLAIM_LEAST_MS = 1000 }; /* reclaim_timeout */
struct service_config {
	char name[SERVICE_NAME_SIZE];
	struct address *listen;
	size_t listen_count;
	struct backend_config *backends;
	size_t backend_count;
	enum balance balance;
	struct policy policy; /* policy.hooked: service_has_lease */
	struct hook_config acquire, connected, renew, release, prepare_listen, shutdown;
	uint32_t limit_connections, limit_per_client; /* 0: none */
	enum on_limit on_limit;
	uint32_t reclaim_timeout_ms; /* 0: who holds is never asked */
	char *reject_message;        /* NULL: a reset */
	size_t reject_length;
};

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL, LOG_FORMAT_JSON };

struct config {
	char *file; /* its path, as given */
	char *text; /* the whole text it was parsed from */
	size_t text_length;
	struct message_settings settings; /* top-level settings, in the form in which the supervisor takes them */
	uint32_t drain_timeout_ms;        /* 0: never */
	char *control_socket;             /* NULL: none */
	char *control_group;              /* NULL: ours */
	uint32_t control_mode;            /* permission bits */
	enum log_format log_format;
	bool log_connected; /* a line at a session's start, too */
	struct service_config *services;
	size_t service_count;
};

/* Every error as one line "file:line: setting: what is wrong (what would be right)", in the order of the file. */
struct config_errors {
	char **lines;
	size_t count;
};

/* Parses text that came from `file` (named in errors only). 0 and *ret, or -EINVAL and *errors; -ENOMEM. Free with the two
 * below. */
int config_parse(const char *file, const char *text, size_t length, struct config **ret, struct config_errors *errors);

/* The same for a text that was accepted before: that a user has gone since is no error, but HOOK_USER_GONE. */
int config_parse_again(const char *file, const char *text, size_t length, struct config **ret, struct config_errors *errors);

/* Reads the file, then the same; what cannot be read is an error line of its own and -errno. */
int config_load(const char *file, struct config **ret, struct config_errors *errors);

void config_free(struct config *config);
void service_config_fini(struct service_config *service); /* what it points to; only for who builds one */
void config_errors_free(struct config_errors *errors);

const struct service_config *config_service(const struct config *config, const char *name); /* NULL: none */

const struct hook_config *service_hook(const struct service_config *service, enum hook_event event);

/* Whether its sessions have a lease: for any hook of a session. */
bool service_has_lease(const struct service_config *service);

/* A line for each hook that runs as another user (gone: as one that is no more): where that stands, then the words. 0, with
 * ret->count 0 if there are none; -ENOMEM. */
int config_tell_users(const struct config *config, bool gone, const char *words, struct config_errors *ret);

const char *hook_event_word(enum hook_event event); /* the name of its settings */

/* Whether any address of that side is or may be one of TCP: a unix socket knows no silence. */
bool service_has_tcp(const struct service_config *service, enum side side);

#endif
