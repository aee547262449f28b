/* What may be asked over the control socket: {"request": NAME, ...}. Every answer is one line {"ok": ...}; `sessions` sends a
 * line for each session before it. */
#include "base/clock.h"
#include "steward/control/client.h"
#include "steward/log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void put_endpoint(json_t *to, const char *name, const struct endpoint *e, const char *text)
{
	char formatted[ENDPOINT_TEXT];

	endpoint_format(e, formatted);
	json_object_set_new(to, name, json_string(e->family == AF_UNIX && text ? text : formatted));
}

/* What stands in a ledger is the relay's to say; text of it that is no text becomes "?". */
static json_t *text_or_unknown(const char *text)
{
	json_t *string = json_string(text);

	return string ? string : json_string("?");
}

static json_t *describe(const struct roster *roster, uint32_t relay, const struct slot *slot)
{
	const struct session_record *s = &slot->record;
	uint64_t now_ms = clock_mono_ms();
	json_t *o = json_object();
	char text[32];

	snprintf(text, sizeof text, "%" PRIx64, s->id);
	json_object_set_new(o, "id", json_string(text));
	json_object_set_new(o, "service", text_or_unknown(s->service));
	json_object_set_new(o, "state", json_string(slot_state_word(atomic_load(&slot->state))));
	put_endpoint(o, "client", &s->client, NULL);
	put_endpoint(o, "local", &s->local, roster_local_text(roster, s));
	put_endpoint(o, "backend", &s->backend, roster_backend_text(roster, s));
	if (s->fence)
		lease_format(s->fence, text);
	json_object_set_new(o, "lease", json_string(s->fence ? text : "-"));
	/* In the record when the books were last read; what moved since is the relay's running count. */
	json_object_set_new(o, "bytes_to_backend", json_integer((json_int_t)atomic_load(&slot->moved[SIDE_CLIENT])));
	json_object_set_new(o, "bytes_to_client", json_integer((json_int_t)atomic_load(&slot->moved[SIDE_BACKEND])));
	json_object_set_new(o, "started_us", json_integer((json_int_t)s->started_us));
	json_object_set_new(o, "age_ms", json_integer(now_ms > s->started_ms ? (json_int_t)(now_ms - s->started_ms) : 0));
	json_object_set_new(o, "relay", json_integer(relay));
	if (s->reason.who != WHO_NONE) {
		char reason[64];

		snprintf(reason, sizeof reason, "%s.%s", who_word(s->reason.who), how_word(s->reason.how));
		json_object_set_new(o, "reason", json_string(reason));
	}
	return o;
}

void client_walk(struct control_client *client)
{
	struct session_walk *w = &client->walk;
	const struct roster *roster = client->control->roster;

	while (w->relay < roster->relays) {
		const struct ledger *ledger = roster_ledger(roster, w->relay);
		struct slot slot;
		int r = ledger ? ledger_read_slot(ledger, w->slot++, &slot) : -ENOENT;

		if (r == -ENOENT) {
			w->relay++;
			w->slot = 0;
			continue;
		}
		if (r < 0 || atomic_load(&slot.state) == SLOT_FREE ||
			(w->service[0] && strcmp(w->service, slot.record.service) != 0))
			continue;
		client_answer(client, describe(roster, w->relay, &slot));
		w->count++;
		if (client->out_used >= CONTROL_CHUNK)
			return;
	}
	w->active = false;
	client_answer(client, json_pack("{s:b, s:I}", "ok", 1, "sessions", (json_int_t)w->count));
}

static void handle_status(struct control_client *client, json_t *request)
{
	(void)request;
	client_answer(client, client->control->host->status(client->control->context));
}

static void handle_sessions(struct control_client *client, json_t *request)
{
	json_t *service = json_object_get(request, "service");
	struct session_walk *w = &client->walk;

	if (service && (!json_is_string(service) || json_string_length(service) >= sizeof w->service)) {
		client_refuse(client, "\"service\" is no name of a service");
		return;
	}
	memset(w, 0, sizeof *w);
	if (service)
		memcpy(w->service, json_string_value(service), json_string_length(service) + 1);
	w->active = true;
}

static bool get_id(struct control_client *client, json_t *request, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(request, "id"));
	char *end = NULL;

	if (text && text[0] && strspn(text, "0123456789abcdefABCDEF") == strlen(text) && strlen(text) <= 16) {
		*ret = strtoull(text, &end, 16);
		return true;
	}
	client_refuse(client, "\"id\" is no session's id (hexadecimal, as `tcpwardenctl sessions` prints it)");
	return false;
}

static void refuse_unknown(struct control_client *client, uint64_t id)
{
	client_refuse(client, "no session %" PRIx64 " lives (`tcpwardenctl sessions` lists those that do)", id);
}

static void handle_show(struct control_client *client, json_t *request)
{
	const struct roster *roster = client->control->roster;
	uint64_t id;
	uint32_t slot, relay;
	struct slot copy;
	json_t *o;

	if (!get_id(client, request, &id))
		return;
	if (roster_find(roster, id, &relay, &slot, &copy) < 0) {
		refuse_unknown(client, id);
		return;
	}
	o = describe(roster, relay, &copy);
	json_object_set_new(o, "ok", json_true());
	json_object_set_new(o, "slot", json_integer(slot));
	json_object_set_new(o, "plan", json_integer(copy.record.plan_generation));
	json_object_set_new(o, "tries", json_integer(copy.tries));
	client_answer(client, o);
}

static void handle_kill(struct control_client *client, json_t *request)
{
	static const struct reason killed = {.who = WHO_OPERATOR, .how = HOW_KILLED};
	json_t *now = json_object_get(request, "now");
	uint64_t id;

	if (now && !json_is_boolean(now)) {
		client_refuse(client, "\"now\" is true or false");
		return;
	}
	if (!get_id(client, request, &id))
		return;
	if (roster_kill(client->control->roster, id, json_is_true(now), &killed) < 0) {
		refuse_unknown(client, id);
		return;
	}
	log_line(LOG_NOTICE, "session %" PRIx64 " is killed by request of the control socket%s", id,
		json_is_true(now) ? ", now" : "");
	client_answer(client, json_pack("{s:b}", "ok", 1));
}

static void handle_reload(struct control_client *client, json_t *request)
{
	(void)request;
	client->waits_for_reload = true;
	/* control_reloaded may come from within. */
	if (!client->control->host->reload(client->control->context)) {
		client->waits_for_reload = false;
		client_refuse(client, "not now: tcpwarden is starting or being stopped");
	}
}

static void handle_leases(struct control_client *client, json_t *request)
{
	json_t *status = client->control->host->status(client->control->context);
	json_t *leases = json_object_get(status, "leases");

	(void)request;
	client_answer(client, json_pack("{s:b, s:O}", "ok", 1, "leases", leases));
	json_decref(status);
}

static const struct {
	const char *name;
	void (*handle)(struct control_client *client, json_t *request);
} requests[] = {
	{"status", handle_status},
	{"sessions", handle_sessions},
	{"show", handle_show},
	{"kill", handle_kill},
	{"reload", handle_reload},
	{"leases", handle_leases},
};

void client_handle(struct control_client *client, const char *line, size_t length)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	const char *name = json_string_value(json_object_get(request, "request"));

	if (!request) {
		client_refuse(client, "not a JSON object: %s", error.text);
		return;
	}
	for (size_t i = 0; name && i < sizeof requests / sizeof requests[0]; i++)
		if (strcmp(name, requests[i].name) == 0) {
			requests[i].handle(client, request);
			json_decref(request);
			return;
		}
	client_refuse(client, "\"request\" is not one of status, sessions, show, kill, reload, leases");
	json_decref(request);
}
