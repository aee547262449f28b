#include "steward/lease/record.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_VERSION = 2 };

void lease_format(uint64_t fence, char text[24])
{
	snprintf(text, 24, "%" PRIx64, fence);
}

/* Commands, environments and what hooks print are bytes; JSON knows only characters. Each byte is kept as the character of that
 * number. */
json_t *record_bytes_encode(const char *bytes)
{
	size_t length = strlen(bytes), n = 0;
	char *text = malloc(2 * length + 1);
	if (!text)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c < 0x80) {
			text[n++] = (char)c;
		} else {
			text[n++] = (char)(0xc0 | c >> 6);
			text[n++] = (char)(0x80 | (c & 0x3f));
		}
	}
	json_t *value = json_stringn(text, n);
	free(text);
	return value;
}

static char *bytes_decode(const json_t *value)
{
	const char *text = json_string_value(value);
	char *bytes = text ? malloc(strlen(text) + 1) : NULL;
	if (!bytes)
		return NULL;
	size_t n = 0;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c >= 0xc0 && c[1]) {
			bytes[n++] = (char)((c[0] << 6 | (c[1] & 0x3f)) & 0xff);
			c++;
		} else {
			bytes[n++] = (char)*c;
		}
	}
	bytes[n] = '\0';
	return bytes;
}

static json_t *list_encode(char *const *list)
{
	if (!list)
		return json_null();
	json_t *array = json_array();
	for (; array && *list; list++) {
		if (json_array_append_new(array, record_bytes_encode(*list))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static int list_decode(char ***ret, const json_t *array)
{
	*ret = NULL;
	if (!array || json_is_null(array))
		return 0;
	if (!json_is_array(array))
		return -EINVAL;
	size_t count = json_array_size(array);
	char **list = calloc(count + 1, sizeof *list);
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!(list[i] = bytes_decode(json_array_get(array, i)))) {
			string_list_free(list);
			return -EINVAL;
		}
	}
	*ret = list;
	return 0;
}

/* 64 bits do not fit a JSON number. */
static json_t *word_encode(uint64_t word)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIx64, word);
	return json_string(text);
}

static uint64_t word_decode(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? strtoull(text, NULL, 16) : 0;
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static json_t *endpoint_encode(const struct endpoint *endpoint)
{
	char ip[2 * sizeof endpoint->ip + 1];
	for (size_t i = 0; i < sizeof endpoint->ip; i++)
		snprintf(ip + 2 * i, 3, "%02x", endpoint->ip[i]);
	return json_pack("{si si sI ss}", "family", (int)endpoint->family, "port", (int)endpoint->port, "scope",
		(json_int_t)endpoint->scope, "ip", ip);
}

static void endpoint_decode(struct endpoint *ret, const json_t *object)
{
	*ret = (struct endpoint){
		.family = (uint16_t)number(object, "family"),
		.port = (uint16_t)number(object, "port"),
		.scope = (uint32_t)number(object, "scope"),
	};
	const char *ip = json_string_value(json_object_get(object, "ip"));
	for (size_t i = 0; ip && i < sizeof ret->ip && sscanf(ip, "%2hhx", &ret->ip[i]) == 1; i++)
		ip += 2;
}

static json_t *session_encode(const struct session_record *session)
{
	return json_pack("{so so so so so so so so so so so so so s[iiii] si}", "id", word_encode(session->id), "fence",
		word_encode(session->fence), "started_us", word_encode(session->started_us), "started_ms",
		word_encode(session->started_ms), "connected_ms", word_encode(session->connected_ms), "ended_ms",
		word_encode(session->ended_ms), "client", endpoint_encode(&session->client), "local",
		endpoint_encode(&session->local), "backend", endpoint_encode(&session->backend), "bytes_client",
		word_encode(session->bytes[SIDE_CLIENT]), "bytes_backend", word_encode(session->bytes[SIDE_BACKEND]),
		"undelivered_client", word_encode(session->undelivered[SIDE_CLIENT]), "undelivered_backend",
		word_encode(session->undelivered[SIDE_BACKEND]), "reason", (int)session->reason.who, (int)session->reason.how,
		(int)session->reason.operation, (int)session->reason.state, "errno", (int)session->reason.error);
}

static uint8_t reason_part(const json_t *object, size_t index)
{
	return (uint8_t)json_integer_value(json_array_get(json_object_get(object, "reason"), index));
}

static void session_decode(struct session_record *ret, const json_t *object)
{
	*ret = (struct session_record){
		.id = word_decode(object, "id"),
		.fence = word_decode(object, "fence"),
		.started_us = word_decode(object, "started_us"),
		.started_ms = word_decode(object, "started_ms"),
		.connected_ms = word_decode(object, "connected_ms"),
		.ended_ms = word_decode(object, "ended_ms"),
		.bytes = {[SIDE_CLIENT] = word_decode(object, "bytes_client"),
			[SIDE_BACKEND] = word_decode(object, "bytes_backend")},
		.undelivered = {[SIDE_CLIENT] = word_decode(object, "undelivered_client"),
			[SIDE_BACKEND] = word_decode(object, "undelivered_backend")},
		.reason = {.who = reason_part(object, 0),
			.how = reason_part(object, 1),
			.operation = reason_part(object, 2),
			.state = reason_part(object, 3),
			.error = (int32_t)number(object, "errno")},
	};
	endpoint_decode(&ret->client, json_object_get(object, "client"));
	endpoint_decode(&ret->local, json_object_get(object, "local"));
	endpoint_decode(&ret->backend, json_object_get(object, "backend"));
}

static json_t *order_encode(const struct hook_order *order)
{
	if (!order->command)
		return json_null();
	return json_pack("{so so so si sI sI sb sb}", "command", list_encode(order->command), "environment",
		list_encode(order->environment), "directory", record_bytes_encode(order->directory), "umask", order->umask,
		"timeout_ms", (json_int_t)order->timeout_ms, "every_ms", (json_int_t)order->every_ms, "allow",
		(int)order->allow_on_error, "helper", (int)order->helper);
}

static int order_decode(struct hook_order *ret, const json_t *object)
{
	*ret = (struct hook_order){.umask = -1};
	if (!object || json_is_null(object))
		return 0;
	ret->umask = (int)number(object, "umask");
	ret->timeout_ms = (uint32_t)number(object, "timeout_ms");
	ret->helper = json_is_true(json_object_get(object, "helper"));
	ret->every_ms = (uint32_t)number(object, "every_ms");
	ret->allow_on_error = json_is_true(json_object_get(object, "allow"));
	int r = list_decode(&ret->command, json_object_get(object, "command"));
	if (!r)
		r = list_decode(&ret->environment, json_object_get(object, "environment"));
	if (!r && !(ret->directory = bytes_decode(json_object_get(object, "directory"))))
		r = -EINVAL;
	if (!r && (!ret->command || !ret->command[0]))
		r = -EINVAL;
	return r;
}

static json_t *hook_encode(const struct process_group *hook)
{
	if (!hook->pid)
		return json_null();
	return json_pack("{si so ss}", "pgid", (int)hook->pid, "start", word_encode(hook->start_ticks), "boot", hook->boot);
}

static void hook_decode(struct process_group *ret, const json_t *object)
{
	const char *boot = json_string_value(json_object_get(object, "boot"));
	*ret = (struct process_group){.pid = (int32_t)number(object, "pgid"), .start_ticks = word_decode(object, "start")};
	snprintf(ret->boot, sizeof ret->boot, "%s", boot ? boot : "");
}

char *lease_record_encode(const struct lease_record *record)
{
	json_t *object = json_pack("{si so sI sI sI so so ss sb sb sb so so so sb sI so so so so sI so so so}", "version",
		RECORD_VERSION, "tree", word_encode(record->tree), "relay", (json_int_t)record->key.relay, "incarnation",
		(json_int_t)record->key.incarnation, "slot", (json_int_t)record->key.slot, "service",
		record_bytes_encode(record->session.service), "session", session_encode(&record->session), "state",
		life_state_word(record->state), "unknown", (int)record->unknown, "ended", (int)record->ended, "recovered",
		(int)record->recovered, "connected", order_encode(&record->connected), "renew", order_encode(&record->renew),
		"release", order_encode(&record->release), "was_connected", (int)record->was_connected, "renewals",
		(json_int_t)record->renewals, "renewed_us", word_encode(record->renewed_us), "hook", hook_encode(&record->hook),
		"variables", list_encode(record->variables), "route", endpoint_encode(&record->route), "attempts",
		(json_int_t)record->attempts, "acquired_us", word_encode(record->acquired_us), "ended_us",
		word_encode(record->ended_us), "why", record->why ? record_bytes_encode(record->why) : json_null());
	if (!object)
		return NULL;
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

/* Version 1 said "acquiring" where INTENT is now, and "held" of a session that went on though its acquire was cut off. */
static int state_decode(struct lease_record *record, const json_t *object)
{
	const char *word = json_string_value(json_object_get(object, "state"));
	json_int_t version = number(object, "version");
	if (!word || version < 1 || version > RECORD_VERSION)
		return -EINVAL;
	record->state = version == 1 && !strcmp(word, "acquiring") ? LEASE_INTENT : life_state_of(word);
	if (version == 1 && record->state == LEASE_HELD && record->unknown)
		record->state = LEASE_UNKNOWN;
	switch (record->state) {
	case LEASE_INTENT:
	case LEASE_HELD:
	case LEASE_UNKNOWN:
	case LEASE_RELEASING:
	case LEASE_FAILED:
		return 0;
	case LEASE_NEW:
	case LEASE_GONE:
	case LEASE_STATES:
		break;
	}
	return -EINVAL;
}

static int decode(struct lease_record *record, const json_t *object)
{
	if (!json_is_object(json_object_get(object, "session")))
		return -EINVAL;
	record->tree = word_decode(object, "tree");
	record->key.relay = (uint32_t)number(object, "relay");
	record->key.incarnation = (uint32_t)number(object, "incarnation");
	record->key.slot = (uint32_t)number(object, "slot");
	record->unknown = json_is_true(json_object_get(object, "unknown"));
	int r = state_decode(record, object);
	if (r)
		return r;
	record->ended = json_is_true(json_object_get(object, "ended"));
	record->recovered = json_is_true(json_object_get(object, "recovered"));
	record->attempts = (uint32_t)number(object, "attempts");
	record->acquired_us = word_decode(object, "acquired_us");
	record->ended_us = word_decode(object, "ended_us");
	record->why = bytes_decode(json_object_get(object, "why"));
	record->was_connected = json_is_true(json_object_get(object, "was_connected"));
	record->renewals = (uint32_t)number(object, "renewals");
	record->renewed_us = word_decode(object, "renewed_us");
	session_decode(&record->session, json_object_get(object, "session"));
	record->key.id = record->session.id;
	endpoint_decode(&record->route, json_object_get(object, "route"));
	hook_decode(&record->hook, json_object_get(object, "hook"));

	char *service = bytes_decode(json_object_get(object, "service"));
	if (!service)
		return -EINVAL;
	snprintf(record->session.service, sizeof record->session.service, "%s", service);
	free(service);
	r = list_decode(&record->variables, json_object_get(object, "variables"));
	if (!r)
		r = order_decode(&record->connected, json_object_get(object, "connected"));
	if (!r)
		r = order_decode(&record->renew, json_object_get(object, "renew"));
	return r ? r : order_decode(&record->release, json_object_get(object, "release"));
}

int lease_record_decode(struct lease_record *ret, const char *text)
{
	*ret = (struct lease_record){.connected.umask = -1, .renew.umask = -1, .release.umask = -1};
	json_t *object = json_loads(text, 0, NULL);
	if (!json_is_object(object)) {
		json_decref(object);
		return -EINVAL;
	}
	int r = decode(ret, object);
	json_decref(object);
	if (r)
		lease_record_fini(ret);
	return r;
}

void lease_record_fini(struct lease_record *record)
{
	hook_order_fini(&record->connected);
	hook_order_fini(&record->renew);
	hook_order_fini(&record->release);
	string_list_free(record->variables);
	free(record->why);
	record->variables = NULL;
	record->why = NULL;
}
