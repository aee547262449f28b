#include "steward/lease/ended.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is no UTF-8 is no JSON either. */
static json_t *text_or_unknown(const char *text)
{
	json_t *string = json_string(text);
	return string ? string : json_string("?");
}

static json_t *variables(char *const *list)
{
	json_t *array = json_array();
	for (; list && *list; list++)
		json_array_append_new(array, text_or_unknown(*list));
	return array;
}

json_t *ended_describe(const struct lease_record *record)
{
	const struct session_record *session = &record->session;
	char lease[24], id[24], client[ENDPOINT_TEXT], backend[ENDPOINT_TEXT];
	lease_format(record->fence, lease);
	snprintf(id, sizeof id, "%" PRIx64, session->id);
	endpoint_format(&session->client, client);
	endpoint_format(&session->backend, backend);
	return json_pack("{ss sI so ss ss ss ss sI so}", "lease", lease, "fence", (json_int_t)record->fence, "service",
		text_or_unknown(session->service), "session", id, "client", client, "backend", backend, "acquired",
		record->unknown ? "unknown" : "yes", "attempts", (json_int_t)record->attempts, "variables",
		variables(record->variables));
}

struct ended *ended_new(const struct lease_record *record, uint64_t released_us)
{
	char reason[64];
	snprintf(reason, sizeof reason, "%s.%s", who_word(record->session.reason.who), how_word(record->session.reason.how));
	json_t *object = ended_describe(record);
	json_t *end = json_pack("{ss sb sI sI sI}", "reason", reason, "recovered", (int)record->recovered, "acquired_us",
		(json_int_t)record->acquired_us, "ended_us", (json_int_t)record->ended_us, "released_us",
		(json_int_t)released_us);
	char *text = object && end && !json_object_update(object, end) ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	json_decref(end);
	struct ended *ended = text ? malloc(sizeof *ended + strlen(text) + 1) : NULL;
	if (ended) {
		snprintf(ended->service, sizeof ended->service, "%s", record->session.service);
		endpoint_format_host(&record->session.client, ended->client);
		ended->at_us = released_us;
		strcpy(ended->text, text);
	}
	free(text);
	return ended;
}
