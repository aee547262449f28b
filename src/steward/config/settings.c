#include "steward/config/settings.h"

#include "base/duration.h"
#include "steward/config/config.h"
#include "wire/census.h"
#include "wire/ledger.h"
#include "wire/liveness.h"

#include <limits.h>
#include <string.h>

/* The kernel takes TCP_USER_TIMEOUT as an int of milliseconds, and libuv's clock bears it; it is as long as anybody waits. */
#define DAYS_24 (24ull * 86400000)
#define SECOND  1000ull
#define MILLION 1000000

#define FIELD(type, member) .offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

#ifdef TEST_VERSION
#define POLICY_END "close" /* another default */
#else
#define POLICY_END "reset"
#endif

/* clang-format off: a table reads as a table */

/* In the order of the enums they stand for. */
static const char *const words_linger[] = {"deliver", "background", "reset", NULL};
static const char *const words_end[] = {"reset", "reset_now", "close", NULL};
static const char *const words_gone[] = {"keep", "drain", "close", "reset", NULL};
static const char *const words_balance[] = {"round-robin", "least-connections", "source-hash", "failover", NULL};
static const char *const words_log[] = {"auto", "text", "journal", "json", NULL};
static const char *const words_mode[] = {"exec", "helper", NULL};
static const char *const words_mode_alone[] = {"exec", NULL}; /* a helper is told of leases */
static const char *const words_on_limit[] = {"reject", "reclaim", NULL};
static const char *const words_on_error[] = {"refuse", "allow", NULL};

/* tcp(7); the kernel refuses more: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT of include/net/tcp.h */
static const struct setting settings_keepalive[] = {
	{"idle", SETTING_S, FIELD(side_policy, keepalive_idle_s), .low = SECOND, .high = 32767 * SECOND, .example = "2h",
		.meaning = "silence after which the first probe goes out; from dead_after if not given"},
	{"interval", SETTING_S, FIELD(side_policy, keepalive_interval_s), .low = SECOND, .high = 32767 * SECOND, .example = "10s",
		.meaning = "time between probes; from dead_after if not given"},
	{"count", SETTING_NUMBER, FIELD(side_policy, keepalive_count), .low = 1, .high = 127, .example = "3",
		.meaning = "unanswered probes after which the peer is dead; from dead_after if not given"},
	{.name = NULL},
};

#define SIDE_SETTINGS                                                                                                            \
	{"dead_after", SETTING_MS, FIELD(side_policy, dead_after_ms), .low = LIVENESS_LEAST_MS, .high = LIVENESS_MOST_MS,        \
		.off = true, .value = "60s", .meaning = "a peer that gives no sign of life for so long, though asked, is dead"}, \
		{"stall_after", SETTING_MS, FIELD(side_policy, stall_after_ms), .low = SECOND, .high = DAYS_24, .off = true,     \
			.value = "off", .example = "10m",                                                                        \
			.meaning = "a peer that takes none of the bytes that wait for it for so long is given up"},              \
		{"linger", SETTING_WORD, FIELD(side_policy, linger), .words = words_linger, .value = "deliver",                  \
			.meaning = "how this side's socket is closed at an orderly end"},                                        \
		{"linger_timeout", SETTING_MS, FIELD(side_policy, linger_timeout_ms), .low = 1, .high = DAYS_24, .value = "30s", \
			.meaning = "how long delivery may go on without progress once the session has ended"},                   \
		{"keepalive", SETTING_KEEPALIVE, .settings = settings_keepalive, .example = "false",                             \
			.meaning = "probes on an idle connection; false: none"},                                                 \
		{"user_timeout", SETTING_MS, FIELD(side_policy, user_timeout_ms), .low = 1, .high = DAYS_24, .off = true,        \
			.value = "off", .example = "60s",                                                                        \
			.meaning = "sent bytes unacknowledged for so long end the connection (TCP_USER_TIMEOUT)"},               \
	{                                                                                                                        \
		"nodelay", SETTING_BOOL, FIELD(side_policy, nodelay), .value = "true",                                           \
								      .meaning = "small writes go out at once (TCP_NODELAY)"     \
	}

static const struct setting settings_client[] = {
	SIDE_SETTINGS,
	{.name = NULL},
};

static const struct setting settings_backend_side[] = {
	SIDE_SETTINGS,
	{"connect_timeout", SETTING_MS, FIELD(side_policy, connect_timeout_ms), .low = 1, .high = DAYS_24, .value = "5s",
		.meaning = "how long one address of a backend may take to answer"},
	{.name = NULL},
};

/* Bounds: what the hook runner sets aside memory for. */
#define HOOK_SETTINGS(modes)                                                                                                     \
	{"command", SETTING_COMMAND, FIELD(hook_config, command), .example = "[ \"/etc/tcpwarden/hooks/seat\", \"take\" ]",      \
		.meaning = "the program and its arguments; never a shell line"},                                                 \
		{"mode", SETTING_WORD, FIELD(hook_config, mode), .words = modes, .value = "exec",                                \
			.meaning = "whether it is run for each event, or once and told of them"},                                \
		{"timeout", SETTING_MS, FIELD(hook_config, timeout_ms), .low = 100, .high = DAYS_24, .value = "10s",             \
			.meaning = "how long it may run before it is ended"},                                                    \
		{"user", SETTING_USER_NAME, FIELD(hook_config, user), .example = "seats",                                        \
			.meaning = "who it runs as; the daemon's own user if not given"},                                        \
		{"group", SETTING_GROUP_NAME, FIELD(hook_config, group), .example = "seats",                                     \
			.meaning = "its group; its user's own if not given"},                                                    \
		{"directory", SETTING_PATH, FIELD(hook_config, directory), .high = PATH_MAX - 1, .example = "/var/lib/seats",    \
			.meaning = "its working directory; the state directory if not given, / for another user"},               \
		{"umask", SETTING_OCTAL, FIELD(hook_config, umask), .high = 0777, .example = "0027",                             \
			.meaning = "its umask; the daemon's own if not given"},                                                  \
	{                                                                                                                        \
		"environment", SETTING_ENVIRONMENT, FIELD(hook_config, environment),                                             \
			.example = "[ \"LICENCE_SERVER=27000@licences\" ]",                                                      \
			.meaning = "variables that it gets beside those of tcpwarden-hooks(7)"                                   \
	}

#define HOOK_CONCURRENCY                                                                                                         \
	{                                                                                                                        \
		"concurrency", SETTING_NUMBER, FIELD(hook_config, concurrency), .low = 1, .high = 1024, .value = "32",           \
										.meaning = "how many of a service run at once"   \
	}

static const struct setting settings_acquire[] = {
	HOOK_SETTINGS(words_mode),
	HOOK_CONCURRENCY,
	{"queue", SETTING_NUMBER, FIELD(hook_config, queue), .low = 0, .high = MILLION, .value = "1024",
		.meaning = "how many of a service wait for their turn; more are refused"},
	{"on_error", SETTING_WORD, FIELD(hook_config, allow_on_error), .words = words_on_error, .value = "refuse",
		.meaning = "what becomes of the client when it says no"},
	{"cooldown", SETTING_MS, FIELD(hook_config, cooldown_ms), .low = 100, .high = DAYS_24, .off = true, .value = "5s",
		.meaning = "how long clients are refused at once when it keeps failing"},
	{.name = NULL},
};

static const struct setting settings_connected[] = {
	HOOK_SETTINGS(words_mode),
	HOOK_CONCURRENCY,
	{"on_error", SETTING_WORD, FIELD(hook_config, allow_on_error), .words = words_on_error, .value = "allow",
		.meaning = "what becomes of the session when it fails"},
	{.name = NULL},
};

static const struct setting settings_renew[] = {
	HOOK_SETTINGS(words_mode),
	HOOK_CONCURRENCY,
	{"every", SETTING_MS, FIELD(hook_config, every_ms), .low = SECOND, .high = DAYS_24, .value = "1m",
		.meaning = "how often it runs while the session lives"},
	{"on_error", SETTING_WORD, FIELD(hook_config, allow_on_error), .words = words_on_error, .value = "refuse",
		.meaning = "what becomes of the session when it fails"},
	{.name = NULL},
};

static const struct setting settings_release[] = {
	HOOK_SETTINGS(words_mode),
	HOOK_CONCURRENCY,
	{.name = NULL},
};

static const struct setting settings_service_hook[] = {
	HOOK_SETTINGS(words_mode_alone),
	{.name = NULL},
};

static const struct setting settings_hooks[] = {
	{"acquire", SETTING_GROUP, FIELD(service_config, acquire), .settings = settings_acquire,
		.meaning = "run before a backend is connected"},
	{"connected", SETTING_GROUP, FIELD(service_config, connected), .settings = settings_connected,
		.meaning = "run once the backend is connected"},
	{"renew", SETTING_GROUP, FIELD(service_config, renew), .settings = settings_renew,
		.meaning = "run every so often while the session lives"},
	{"release", SETTING_GROUP, FIELD(service_config, release), .settings = settings_release,
		.meaning = "run once the session is over, until it succeeds"},
	{"prepare_listen", SETTING_GROUP, FIELD(service_config, prepare_listen), .settings = settings_service_hook,
		.meaning = "run before addresses of the service are bound"},
	{"shutdown", SETTING_GROUP, FIELD(service_config, shutdown), .settings = settings_service_hook,
		.meaning = "run when the service is no more"},
	{.name = NULL},
};

static const struct setting settings_service_limits[] = {
	{"connections", SETTING_NUMBER, FIELD(service_config, limit_connections), .low = 0, .high = MILLION, .value = "0",
		.meaning = "sessions at a time, over all relays; 0: no limit"},
	{"per_client", SETTING_NUMBER, FIELD(service_config, limit_per_client), .low = 0, .high = MILLION, .value = "0",
		.meaning = "of them, those of one client address; 0: no limit"},
	{"on_limit", SETTING_WORD, FIELD(service_config, on_limit), .words = words_on_limit, .value = "reject",
		.meaning = "what becomes of a client over a limit"},
	{"reclaim_timeout", SETTING_MS, FIELD(service_config, reclaim_timeout_ms), .low = 0, .high = 60 * SECOND, .off = true,
		.value = "5s",
		.meaning = "a holder that does not answer for so long when a newcomer waits has lost what it holds"},
	{"reject_message", SETTING_REPLY, .high = 4096, .example = "busy\\r\\n",
		.meaning = "what a client over a limit is told; a reset if not given"},
	{.name = NULL},
};

const struct setting settings_backend[] = {
	{"address", SETTING_TEXT, .value = "", .example = "plc-a.lan:502", .meaning = "HOST:PORT, [IPV6]:PORT or unix:PATH"},
	{.name = NULL},
};

const struct setting settings_service[] = {
	{"name", SETTING_NAME, FIELD(service_config, name), .own = true, .value = "", .example = "plc-gateway",
		.meaning = "what logs, leases and people call it"},
	{"listen", SETTING_LISTEN, .own = true, .value = "", .example = "[ \"0.0.0.0:5020\", \"[::]:5020\" ]",
		.meaning = "addresses to accept on: IP:PORT, *:PORT, unix:PATH or systemd:NAME"},
	{"backends", SETTING_BACKENDS, .settings = settings_backend, .value = "",
		.example = "[ \"plc-a.lan:502\", \"plc-b.lan:502\" ]", .meaning = "where sessions go"},
	{"balance", SETTING_WORD, FIELD(service_config, balance), .words = words_balance, .value = "round-robin",
		.meaning = "which backend a session is tried on first"},
	{"connect_retries", SETTING_NUMBER, FIELD(service_config, policy.connect_retries), .low = 0, .high = 1000, .value = "3",
		.meaning = "further tries after the first, over all backends and addresses"},
	{"on_failure", SETTING_WORD, FIELD(service_config, policy.on_failure), .words = words_end, .value = "reset",
		.meaning = "what one side sees when the other failed"},
	{"on_connect_failure", SETTING_WORD, FIELD(service_config, policy.on_connect_failure), .words = words_end,
		.value = "reset", .meaning = "what the client sees when no backend could be connected"},
	{"on_policy_end", SETTING_WORD, FIELD(service_config, policy.on_policy_end), .words = words_end, .value = POLICY_END,
		.meaning = "what both sides see when we end the session"},
	{"on_backend_gone", SETTING_WORD, FIELD(service_config, policy.on_backend_gone), .words = words_gone, .value = "keep",
		.meaning = "what becomes of a session whose backend is removed or has another address now"},
	{"idle_timeout", SETTING_MS, FIELD(service_config, policy.idle_timeout_ms), .low = SECOND, .high = DAYS_24, .off = true,
		.value = "off", .example = "15m", .meaning = "no byte moved either way for so long ends the session"},
	{"half_close_timeout", SETTING_MS, FIELD(service_config, policy.half_close_timeout_ms), .low = SECOND, .high = DAYS_24,
		.off = true, .value = "off", .example = "5m",
		.meaning = "one direction has ended and nothing moved in the other for so long"},
	{"lifetime", SETTING_MS, FIELD(service_config, policy.lifetime_ms), .low = SECOND, .high = DAYS_24, .off = true,
		.value = "off", .example = "12h", .meaning = "how long a session may last, whatever it does"},
	{"abort_on_close", SETTING_BOOL, FIELD(service_config, policy.abort_on_close), .value = "false",
		.meaning = "a client that closes its direction while it waits is gone"},
	{"client", SETTING_GROUP, FIELD(service_config, policy.side[SIDE_CLIENT]), .settings = settings_client,
		.meaning = "the connection from the client"},
	{"backend", SETTING_GROUP, FIELD(service_config, policy.side[SIDE_BACKEND]), .settings = settings_backend_side,
		.meaning = "the connection to the backend"},
	{"hooks", SETTING_GROUP, .settings = settings_hooks, .meaning = "programs that take and give back what a session holds"},
	{"limits", SETTING_GROUP, .settings = settings_service_limits, .meaning = "how much a service takes on"},
	{.name = NULL},
};

static const struct setting settings_users[] = {
	{"relay", SETTING_USER_ARRAY, FIELD(config, settings.user_relay), .value = "tcpwarden-relay",
		.meaning = "who relays run as when the daemon may change users"},
	{"status", SETTING_USER_ARRAY, FIELD(config, settings.user_status), .value = "tcpwarden-status",
		.meaning = "who the status role runs as; the control socket refuses it"},
	{.name = NULL},
};

static const struct setting settings_control[] = {
	{"socket", SETTING_PATH, FIELD(config, control_socket), .high = 107, .off = true,
		.value = TCPWARDEN_RUNSTATEDIR "/tcpwarden/control.sock",
		.meaning = "the unix socket that tcpwardenctl(1) speaks to"},
	{"group", SETTING_GROUP_NAME, FIELD(config, control_group), .high = 32, .example = "adm",
		.meaning = "group of that socket; the daemon's own if not given"},
	{"mode", SETTING_OCTAL, FIELD(config, control_mode), .high = 0777, .value = "0660",
		.meaning = "permissions of that socket"},
	{.name = NULL},
};

static const struct setting settings_limits[] = {
	{"connections", SETTING_NUMBER, FIELD(config, settings.sessions_max), .low = 0, .high = MILLION, .value = "0",
		.meaning = "sessions at a time, over all services; 0: as many as there are descriptors for"},
	{.name = NULL},
};

static const struct setting settings_log[] = {
	{"format", SETTING_WORD, FIELD(config, log_format), .words = words_log, .value = "auto",
		.meaning = "auto: the journal's own fields under systemd, else text"},
	{"connected", SETTING_BOOL, FIELD(config, log_connected), .value = "true", .meaning = "a line at a session's start, too"},
	{.name = NULL},
};

const struct setting settings_top[] = {
	{"workers", SETTING_NUMBER, FIELD(config, settings.workers), .low = 0, .high = CENSUS_RELAYS, .value = "0",
		.meaning = "relays; 0: one for each CPU"},
	{"state_directory", SETTING_PATH_ARRAY, FIELD(config, settings.state_directory), .value = TCPWARDEN_STATEDIR "/tcpwarden",
		.meaning = "where the lock and the leases are"},
	{"users", SETTING_GROUP, .settings = settings_users, .meaning = "who the roles run as"},
	{"control", SETTING_GROUP, .settings = settings_control, .meaning = "how people reach the running daemon"},
	{"shutdown_timeout", SETTING_MS, FIELD(config, settings.shutdown_timeout_ms), .low = 0, .high = DAYS_24, .value = "30s",
		.meaning = "how long sessions may go on after SIGTERM"},
	{"drain_timeout", SETTING_MS, FIELD(config, drain_timeout_ms), .low = 1, .high = DAYS_24, .off = true, .value = "5m",
		.meaning = "how long sessions of what was removed or drained may go on"},
	{"hang_after", SETTING_MS, FIELD(config, settings.hang_after_ms), .low = SECOND, .high = DAYS_24, .value = "10s",
		.meaning = "a role that has not moved for so long is replaced"},
	{"orphan_timeout", SETTING_MS, FIELD(config, settings.orphan_timeout_ms), .low = 0, .high = DAYS_24, .value = "10s",
		.meaning = "how long the roles go on without a supervisor"},
	{"upgrade_timeout", SETTING_MS, FIELD(config, settings.upgrade_timeout_ms), .low = SECOND, .high = DAYS_24,
		.value = "30s", .meaning = "how long a new version's process may take to be up before the old one is back"},
	{"limits", SETTING_GROUP, .settings = settings_limits, .meaning = "how much the daemon takes on"},
	{"log", SETTING_GROUP, .settings = settings_log, .meaning = "what is told, and how"},
	{"defaults", SETTING_DEFAULTS, .settings = settings_service, .meaning = "what services have that do not say otherwise"},
	{"services", SETTING_SERVICES, .settings = settings_service, .value = "", .meaning = "what is served"},
	{.name = NULL},
};

/* clang-format on */

bool setting_is_later(const char *parent, const char *name)
{
	static const struct {
		const char *parent, *name; /* parent NULL: wherever a service's settings may stand */
	} later[] = {
		/* clang-format off */
		{NULL, "transparent"}, {NULL, "mark"},
		{"", "status"},
		{"limits", "rate"},
		/* clang-format on */
	};
	bool service = strcmp(parent, "services") == 0 || strcmp(parent, "defaults") == 0;

	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (strcmp(later[i].name, name) == 0 && (later[i].parent ? strcmp(later[i].parent, parent) == 0 : service))
			return true;
	return false;
}

const struct setting *setting_find(const struct setting *group, const char *name)
{
	for (const struct setting *s = group; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

static void describe_words(const struct setting *setting, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; setting->words[i] && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", i ? ", " : "", setting->words[i]);
}

void setting_describe(const struct setting *setting, char *text, size_t size)
{
	char low[DURATION_TEXT], high[DURATION_TEXT];

	switch (setting->kind) {
	case SETTING_BOOL:
		snprintf(text, size, "true or false");
		return;
	case SETTING_NUMBER:
		snprintf(text, size, "a whole number, %llu to %llu", (unsigned long long)setting->low,
			(unsigned long long)setting->high);
		return;
	case SETTING_MS:
	case SETTING_S:
		duration_format(setting->low, low);
		duration_format(setting->high, high);
		snprintf(text, size, "a duration, \"%s\" to \"%s\"%s", low, high, setting->off ? ", or \"off\"" : "");
		return;
	case SETTING_WORD:
		describe_words(setting, text, size);
		return;
	case SETTING_OCTAL:
		snprintf(text, size, "permission bits in octal and quotes, \"0000\" to \"0777\"");
		return;
	case SETTING_PATH:
	case SETTING_PATH_ARRAY:
		snprintf(text, size, "an absolute path%s", setting->off ? ", or \"off\"" : "");
		return;
	case SETTING_USER_ARRAY:
	case SETTING_USER_NAME:
		snprintf(text, size, "the name of a user");
		return;
	case SETTING_GROUP_NAME:
		snprintf(text, size, "the name of a group");
		return;
	case SETTING_COMMAND:
		snprintf(text, size, "an absolute path, or a list of one and its arguments");
		return;
	case SETTING_ENVIRONMENT:
		snprintf(text, size, "a list of \"KEY=VALUE\"");
		return;
	case SETTING_TEXT:
	case SETTING_REPLY:
		snprintf(text, size, "a text");
		return;
	case SETTING_LISTEN:
		snprintf(text, size, "an address, or a list of addresses");
		return;
	case SETTING_BACKENDS:
		snprintf(text, size, "an address, a list of addresses, or a list of { address = ...; }");
		return;
	case SETTING_NAME:
		snprintf(text, size, "at most %d letters, digits, \".\", \"_\", \"-\"", SERVICE_NAME_SIZE - 1);
		return;
	case SETTING_KEEPALIVE:
		snprintf(text, size, "a group { idle; interval; count; }, or false");
		return;
	case SETTING_GROUP:
	case SETTING_DEFAULTS:
		snprintf(text, size, "a group { ... }");
		return;
	case SETTING_SERVICES:
		snprintf(text, size, "a list of groups ( { ... }, { ... } )");
		return;
	}
}

static void print_group(FILE *to, const char *prefix, const struct setting *group)
{
	char path[128], what[200];
	const char *value;

	for (const struct setting *s = group; s->name; s++) {
		snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", s->name);
		setting_describe(s, what, sizeof what);
		value = !s->value ? "-" : s->value[0] != '\0' ? s->value : "(must be given)";
		if (s->kind != SETTING_GROUP)
			fprintf(to, "%s\t%s\t%s\t%s\n", path, what, value, s->meaning);
		/* What may stand in defaults is listed once, where it belongs. */
		if (s->settings && s->kind != SETTING_DEFAULTS)
			print_group(to, path, s->settings);
	}
}

void settings_print(FILE *to)
{
	print_group(to, "", settings_top);
}
