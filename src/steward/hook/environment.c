#include "steward/hook/environment.h"

#include "base/clock.h"
#include "steward/lease/leases.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OURS         HOOK_ENVIRONMENT_OURS
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void hook_environment_init(struct hook_environment *environment)
{
	*environment = (struct hook_environment){0};
}

void hook_environment_fini(struct hook_environment *environment)
{
	for (size_t i = 0; i < environment->count; i++)
		free(environment->list[i]);
	free(environment->list);
	*environment = (struct hook_environment){0};
}

/* Takes the text. */
static void put(struct hook_environment *environment, char *text)
{
	if (!text || environment->failed) {
		free(text);
		environment->failed = true;
		return;
	}
	size_t name_length = strcspn(text, "=") + 1;
	for (size_t i = 0; i < environment->count; i++) {
		if (!strncmp(environment->list[i], text, name_length)) {
			free(environment->list[i]);
			environment->list[i] = text;
			return;
		}
	}
	if (environment->count + 2 > environment->capacity) {
		size_t capacity = environment->capacity ? 2 * environment->capacity : 64;
		char **list = reallocarray(environment->list, capacity, sizeof *list);
		if (!list) {
			free(text);
			environment->failed = true;
			return;
		}
		environment->list = list;
		environment->capacity = capacity;
	}
	environment->list[environment->count++] = text;
	environment->list[environment->count] = NULL;
}

void hook_environment_set(struct hook_environment *environment, const char *name, const char *format, ...)
{
	char *value, *text = NULL;
	va_list arguments;
	va_start(arguments, format);
	if (vasprintf(&value, format, arguments) >= 0) {
		if (asprintf(&text, "%s=%s", name, value) < 0)
			text = NULL;
		free(value);
	}
	va_end(arguments);
	put(environment, text);
}

static void set_endpoint(struct hook_environment *environment, const char *name, const struct endpoint *endpoint)
{
	char port_name[64], text[ENDPOINT_TEXT];
	endpoint_format_host(endpoint, text);
	hook_environment_set(environment, name, "%s", text);
	snprintf(port_name, sizeof port_name, "%s_PORT", name);
	if (endpoint->family == AF_INET || endpoint->family == AF_INET6)
		hook_environment_set(environment, port_name, "%u", (unsigned)endpoint->port);
	else
		hook_environment_set(environment, port_name, "%s", "");
}

/* Both of a session's clocks may be of an earlier boot; then the calendar has to do. */
static uint64_t duration_ms(const struct session_record *session)
{
	if (session->ended_ms && session->ended_ms >= session->started_ms)
		return session->ended_ms - session->started_ms;
	uint64_t now_us = clock_real_us();
	return session->started_us && now_us > session->started_us ? (now_us - session->started_us) / 1000 : 0;
}

/* Of a session that has gone on to its backend. */
static void fill_session(struct hook_environment *environment, const struct hook_facts *facts)
{
	const struct session_record *session = facts->session;
	set_endpoint(environment, OURS "BACKEND", &session->backend);
	hook_environment_set(environment, OURS "BYTES_TO_BACKEND", "%" PRIu64, session->bytes[SIDE_CLIENT]);
	hook_environment_set(environment, OURS "BYTES_TO_CLIENT", "%" PRIu64, session->bytes[SIDE_BACKEND]);
	hook_environment_set(environment, OURS "DURATION_MS", "%" PRIu64, duration_ms(session));
	hook_environment_set(environment, OURS "ACQUIRED", "%s", facts->unknown ? "unknown" : "yes");
}

static void fill_end(struct hook_environment *environment, const struct hook_facts *facts)
{
	const struct session_record *session = facts->session;
	hook_environment_set(environment, OURS "REASON", "%s.%s", who_word(session->reason.who), how_word(session->reason.how));
	hook_environment_set(environment, OURS "OPERATION", "%s", operation_word(session->reason.operation));
	hook_environment_set(environment, OURS "ERRNO", "%d", session->reason.error);
	hook_environment_set(environment, OURS "UNDELIVERED_TO_BACKEND", "%" PRIu64, session->undelivered[SIDE_CLIENT]);
	hook_environment_set(environment, OURS "UNDELIVERED_TO_CLIENT", "%" PRIu64, session->undelivered[SIDE_BACKEND]);
	hook_environment_set(environment, OURS "RECOVERED", "%d", facts->recovered);
}

void hook_environment_begin(struct hook_environment *environment, char *const *own)
{
	const char *path = getenv("PATH"), *language = getenv("LANG");
	hook_environment_set(environment, "PATH", "%s", path && *path ? path : DEFAULT_PATH);
	if (language && *language)
		hook_environment_set(environment, "LANG", "%s", language);
	for (; own && *own; own++)
		if (strchr(*own, '=') && strncmp(*own, OURS, strlen(OURS)))
			put(environment, strdup(*own));
}

void hook_environment_tell(struct hook_environment *environment, const struct hook_facts *facts)
{
	const struct session_record *session = facts->session;
	char lease[24];
	lease_format(facts->fence, lease);
	hook_environment_set(environment, OURS "EVENT", "%s", hook_event_word(facts->event));
	hook_environment_set(environment, OURS "SERVICE", "%s", session->service);
	if (facts->event == HOOK_PREPARE_LISTEN || facts->event == HOOK_SHUTDOWN)
		return;
	hook_environment_set(environment, OURS "LEASE", "%s", lease);
	hook_environment_set(environment, OURS "FENCE", "%" PRIu64, facts->fence);
	hook_environment_set(environment, OURS "SESSION", "%" PRIx64, session->id);
	set_endpoint(environment, OURS "CLIENT", &session->client);
	set_endpoint(environment, OURS "LOCAL", &session->local);
	hook_environment_set(environment, OURS "ATTEMPT", "%" PRIu32, facts->attempt);
	if (facts->event != HOOK_ACQUIRE)
		fill_session(environment, facts);
	if (facts->event == HOOK_RELEASE)
		fill_end(environment, facts);
	for (char *const *variable = facts->variables; variable && *variable; variable++) {
		char *text;
		put(environment, asprintf(&text, OURS "VAR_%s", *variable) < 0 ? NULL : text);
	}
}

void hook_environment_fill(struct hook_environment *environment, const struct hook_facts *facts)
{
	hook_environment_begin(environment, facts->environment);
	hook_environment_tell(environment, facts);
}
