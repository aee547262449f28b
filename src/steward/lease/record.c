#include "steward/lease/record.h"

#include "steward/lease/row.h"

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

static bool put_endpoint(json_t *object, const char *key, const struct endpoint *endpoint)
{
	json_t *value;
	if (endpoint->family == AF_UNSPEC)
		return true;
	value = row_put_object(object, key);
	return value && row_put_number(value, "family", endpoint->family) && row_put_number(value, "port", endpoint->port) &&
	       row_put_number(value, "scope", endpoint->scope) && row_put_hex(value, "ip", endpoint->ip, sizeof endpoint->ip);
}

static void endpoint_decode(struct endpoint *ret, const json_t *object)
{
	*ret = (struct endpoint){
		.family = (uint16_t)row_number(object, "family"),
		.port = (uint16_t)row_number(object, "port"),
		.scope = (uint32_t)row_number(object, "scope"),
	};
	const char *ip = json_string_value(json_object_get(object, "ip"));
	for (size_t i = 0; ip && i < sizeof ret->ip && sscanf(ip, "%2hhx", &ret->ip[i]) == 1; i++)
		ip += 2;
}

static bool put_reason(json_t *object, const struct reason *reason)
{
	if (!reason->who)
		return true;
	return row_put(object, "reason", json_pack("[iiii]", reason->who, reason->how, reason->operation, reason->state)) &&
	       row_put_number(object, "errno", reason->error);
}

static bool put_session(json_t *object, const struct session_record *session)
{
	json_t *value = row_put_object(object, "session");
	return value && row_put_word(value, "id", session->id) && row_put_word(value, "fence", session->fence) &&
	       row_put_word(value, "started_us", session->started_us) && row_put_word(value, "started_ms", session->started_ms) &&
	       row_put_word(value, "connected_ms", session->connected_ms) && row_put_word(value, "ended_ms", session->ended_ms) &&
	       put_endpoint(value, "client", &session->client) && put_endpoint(value, "local", &session->local) &&
	       put_endpoint(value, "backend", &session->backend) &&
	       row_put_word(value, "bytes_client", session->bytes[SIDE_CLIENT]) &&
	       row_put_word(value, "bytes_backend", session->bytes[SIDE_BACKEND]) &&
	       row_put_word(value, "undelivered_client", session->undelivered[SIDE_CLIENT]) &&
	       row_put_word(value, "undelivered_backend", session->undelivered[SIDE_BACKEND]) &&
	       put_reason(value, &session->reason);
}

static uint8_t reason_part(const json_t *object, size_t index)
{
	return (uint8_t)json_integer_value(json_array_get(json_object_get(object, "reason"), index));
}

static void session_decode(struct session_record *ret, const json_t *object)
{
	*ret = (struct session_record){
		.id = row_word(object, "id"),
		.fence = row_word(object, "fence"),
		.started_us = row_word(object, "started_us"),
		.started_ms = row_word(object, "started_ms"),
		.connected_ms = row_word(object, "connected_ms"),
		.ended_ms = row_word(object, "ended_ms"),
		.bytes = {[SIDE_CLIENT] = row_word(object, "bytes_client"), [SIDE_BACKEND] = row_word(object, "bytes_backend")},
		.undelivered = {[SIDE_CLIENT] = row_word(object, "undelivered_client"),
			[SIDE_BACKEND] = row_word(object, "undelivered_backend")},
		.reason = {.who = reason_part(object, 0),
			.how = reason_part(object, 1),
			.operation = reason_part(object, 2),
			.state = reason_part(object, 3),
			.error = (int32_t)row_number(object, "errno")},
	};
	endpoint_decode(&ret->client, json_object_get(object, "client"));
	endpoint_decode(&ret->local, json_object_get(object, "local"));
	endpoint_decode(&ret->backend, json_object_get(object, "backend"));
}

/* [uid, gid, its other groups...] */
static bool put_user(json_t *object, const struct hook_user *user)
{
	if (!user->other)
		return true;
	json_t *array = json_pack("[II]", (json_int_t)user->uid, (json_int_t)user->gid);
	for (size_t i = 0; array && i < user->group_count; i++) {
		if (json_array_append_new(array, json_integer((json_int_t)user->groups[i]))) {
			json_decref(array);
			return false;
		}
	}
	return row_put(object, "user", array);
}

static int user_decode(struct hook_user *ret, const json_t *array)
{
	size_t count = json_array_size(array);
	if (!array)
		return 0;
	if (count < 2 || count > HOOK_USER_GROUPS_MAX + 2)
		return -EINVAL;
	uint32_t numbers[HOOK_USER_GROUPS_MAX + 2];
	for (size_t i = 0; i < count; i++) {
		const json_t *number = json_array_get(array, i);
		json_int_t value = json_integer_value(number);
		if (!json_is_integer(number) || value < 0 || value > UINT32_MAX)
			return -EINVAL;
		numbers[i] = (uint32_t)value;
	}
	return hook_user_copy(ret,
		&(struct hook_user){
			.other = true, .uid = numbers[0], .gid = numbers[1], .groups = numbers + 2, .group_count = count - 2});
}

static bool put_order(json_t *object, const char *key, const struct hook_order *order)
{
	json_t *value;
	if (!order->command)
		return true;
	value = row_put_object(object, key);
	return value && row_put_list(value, "command", order->command) &&
	       row_put_list(value, "environment", order->environment) && row_put_bytes(value, "directory", order->directory) &&
	       put_user(value, &order->user) && row_put_number(value, "umask", order->umask) &&
	       row_put_number(value, "timeout_ms", order->timeout_ms) && row_put_number(value, "every_ms", order->every_ms) &&
	       row_put_flag(value, "allow", order->allow_on_error) && row_put_flag(value, "helper", order->helper);
}

static int order_decode(struct hook_order *ret, const json_t *object)
{
	*ret = (struct hook_order){.umask = -1};
	if (!object || json_is_null(object))
		return 0;
	ret->umask = (int)row_number(object, "umask");
	ret->timeout_ms = (uint32_t)row_number(object, "timeout_ms");
	ret->helper = json_is_true(json_object_get(object, "helper"));
	ret->every_ms = (uint32_t)row_number(object, "every_ms");
	ret->allow_on_error = json_is_true(json_object_get(object, "allow"));
	int r = row_list(&ret->command, json_object_get(object, "command"));
	if (!r)
		r = row_list(&ret->environment, json_object_get(object, "environment"));
	if (!r)
		r = user_decode(&ret->user, json_object_get(object, "user"));
	if (!r && !(ret->directory = row_bytes(json_object_get(object, "directory"))))
		r = -EINVAL;
	if (!r && (!ret->command || !ret->command[0]))
		r = -EINVAL;
	return r;
}

static bool put_hook(json_t *object, const struct process_group *hook)
{
	json_t *value;
	if (!hook->pid)
		return true;
	value = row_put_object(object, "hook");
	return value && row_put_number(value, "pgid", hook->pid) && row_put_word(value, "start", hook->start_ticks) &&
	       row_put_bytes(value, "boot", hook->boot);
}

static void hook_decode(struct process_group *ret, const json_t *object)
{
	const char *boot = json_string_value(json_object_get(object, "boot"));
	*ret = (struct process_group){.pid = (int32_t)row_number(object, "pgid"), .start_ticks = row_word(object, "start")};
	snprintf(ret->boot, sizeof ret->boot, "%s", boot ? boot : "");
}

char *lease_record_encode(const struct lease_record *record)
{
	json_t *object = json_object();
	char *text = NULL;
	if (row_put_number(object, "version", RECORD_VERSION) && row_put_word(object, "tree", record->tree) &&
		row_put_number(object, "relay", record->key.relay) &&
		row_put_number(object, "incarnation", record->key.incarnation) &&
		row_put_number(object, "slot", record->key.slot) && row_put_bytes(object, "service", record->session.service) &&
		put_session(object, &record->session) && row_put_bytes(object, "state", life_state_word(record->state)) &&
		row_put_flag(object, "unknown", record->unknown) && row_put_flag(object, "ended", record->ended) &&
		row_put_flag(object, "recovered", record->recovered) && put_order(object, "connected", &record->connected) &&
		put_order(object, "renew", &record->renew) && put_order(object, "release", &record->release) &&
		row_put_flag(object, "was_connected", record->was_connected) &&
		row_put_flag(object, "connecting", record->connecting) && row_put_number(object, "renewals", record->renewals) &&
		row_put_word(object, "renewed_us", record->renewed_us) && put_hook(object, &record->hook) &&
		row_put_list(object, "variables", record->variables) && put_endpoint(object, "route", &record->route) &&
		row_put_number(object, "attempts", record->attempts) &&
		row_put_word(object, "acquired_us", record->acquired_us) && row_put_word(object, "ended_us", record->ended_us) &&
		row_put_bytes(object, "why", record->why))
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

/* Version 1 said "acquiring" where INTENT is now, and "held" of a session that went on though its acquire was cut off. */
static int state_decode(struct lease_record *record, const json_t *object)
{
	const char *word = json_string_value(json_object_get(object, "state"));
	json_int_t version = row_number(object, "version");
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
	record->tree = row_word(object, "tree");
	record->key.relay = (uint32_t)row_number(object, "relay");
	record->key.incarnation = (uint32_t)row_number(object, "incarnation");
	record->key.slot = (uint32_t)row_number(object, "slot");
	record->unknown = json_is_true(json_object_get(object, "unknown"));
	int r = state_decode(record, object);
	if (r)
		return r;
	record->ended = json_is_true(json_object_get(object, "ended"));
	record->recovered = json_is_true(json_object_get(object, "recovered"));
	record->attempts = (uint32_t)row_number(object, "attempts");
	record->acquired_us = row_word(object, "acquired_us");
	record->ended_us = row_word(object, "ended_us");
	record->why = row_bytes(json_object_get(object, "why"));
	record->was_connected = json_is_true(json_object_get(object, "was_connected"));
	record->connecting = json_is_true(json_object_get(object, "connecting"));
	record->renewals = (uint32_t)row_number(object, "renewals");
	record->renewed_us = row_word(object, "renewed_us");
	session_decode(&record->session, json_object_get(object, "session"));
	record->key.id = record->session.id;
	endpoint_decode(&record->route, json_object_get(object, "route"));
	hook_decode(&record->hook, json_object_get(object, "hook"));

	char *service = row_bytes(json_object_get(object, "service"));
	if (!service)
		return -EINVAL;
	snprintf(record->session.service, sizeof record->session.service, "%s", service);
	free(service);
	r = row_list(&record->variables, json_object_get(object, "variables"));
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
