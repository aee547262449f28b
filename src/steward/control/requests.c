/* What may be asked over the control socket: {"request": NAME, ...}. Every answer is one line {"ok": ...}; `sessions` sends a
 * line for each session before it. */
#include "steward/control/client.h"
#include "steward/control/describe.h"
#include "steward/control/lease_requests.h"
#include "steward/log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

void client_walk(struct control_client *client)
{
	struct session_walk *w = &client->walk;
	const struct roster *roster = client->control->roster;

	while (w->relay < roster->relays) {
		const struct ledger *ledger = roster_ledger(roster, w->relay);
		struct session_key key;
		struct slot slot;
		int r = ledger ? ledger_read_slot(ledger, w->slot++, &slot) : -ENOENT;

		if (r == -ENOENT) {
			w->relay++;
			w->slot = 0;
			continue;
		}
		if (r < 0 || atomic_load(&slot.state) == SLOT_FREE || roster_lists_elsewhere(roster, &slot) ||
			(w->service[0] && strcmp(w->service, slot.record.service) != 0))
			continue;
		key = (struct session_key){
			.relay = w->relay,
			.incarnation = roster_incarnation(roster, w->relay),
			.slot = w->slot - 1,
			.id = slot.record.id,
		};
		client_answer(client, describe_session(client->control, &key, &slot, false));
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

bool client_get_id(struct control_client *client, json_t *request, const char *whose, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(request, "id"));
	char *end = NULL;

	if (text && text[0] && strspn(text, "0123456789abcdefABCDEF") == strlen(text) && strlen(text) <= 16) {
		*ret = strtoull(text, &end, 16);
		return true;
	}
	client_refuse(client, "\"id\" is no %s's id (hexadecimal, as `tcpwardenctl %ss` prints it)", whose, whose);
	return false;
}

static void handle_show(struct control_client *client, json_t *request)
{
	struct control *c = client->control;
	struct session_key key;
	struct slot slot;
	json_t *o;

	if (!client_get_id(client, request, "session", &key.id))
		return;
	if (roster_find(c->roster, key.id, &key.relay, &key.slot, &slot) < 0) {
		client_refuse_unknown(client, key.id);
		return;
	}
	key.incarnation = roster_incarnation(c->roster, key.relay);
	o = describe_session(c, &key, &slot, true);
	json_object_set_new(o, "ok", json_true());
	client_answer(client, o);
}

static void handle_probe(struct control_client *client, json_t *request)
{
	uint64_t id;

	if (client_get_id(client, request, "session", &id))
		probe_start(client, id);
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
	if (!client_get_id(client, request, "session", &id))
		return;
	if (roster_kill(client->control->roster, id, json_is_true(now), &killed) < 0) {
		client_refuse_unknown(client, id);
		return;
	}
	log_line(LOG_NOTICE, "session %" PRIx64 " is killed by request of the control socket%s", id,
		json_is_true(now) ? ", now" : "");
	client_answer(client, json_pack("{s:b}", "ok", 1));
}

static void handle_reload(struct control_client *client, json_t *request)
{
	json_t *apply = json_object_get(request, "apply");

	if (apply && !json_is_boolean(apply)) {
		client_refuse(client, "\"apply\" is true or false");
		return;
	}
	/* control_reloaded may come from within. */
	client->waits = WAITS_FOR_RELOAD;
	switch (client->control->host->reload(client->control->context, json_is_true(apply))) {
	case CONTROL_REFUSED:
		client->waits = WAITS_FOR_NOTHING;
		client_refuse(client, "not now: tcpwarden is starting or being stopped");
		break;
	case CONTROL_BEGUN:
		break;
	case CONTROL_NEXT:
		client->waits = WAITS_FOR_NEXT_RELOAD;
		break;
	}
}

static void drain(struct control_client *client, json_t *request, bool drain)
{
	const char *what = json_string_value(json_object_get(request, "what"));
	char error[CONTROL_ERROR_SIZE];

	if (!what) {
		client_refuse(client, "\"what\" is a service, or SERVICE/BACKEND");
		return;
	}
	client->waits = WAITS_FOR_DRAIN;
	if (client->control->host->drain(client->control->context, drain, what, error) == CONTROL_REFUSED) {
		client->waits = WAITS_FOR_NOTHING;
		client_refuse(client, "%s", error);
	}
}

static void handle_drain(struct control_client *client, json_t *request)
{
	drain(client, request, true);
}

static void handle_resume(struct control_client *client, json_t *request)
{
	drain(client, request, false);
}

static void handle_upgrade(struct control_client *client, json_t *request)
{
	uint32_t after;

	(void)request;
	if (client->control->host->upgrade(client->control->context, &after))
		client_answer(client, json_pack("{s:b, s:I}", "ok", 1, "after", (json_int_t)after));
	else
		client_refuse(client, "not now: tcpwarden is starting, being stopped or being upgraded");
}

static const struct {
	const char *name;
	void (*handle)(struct control_client *client, json_t *request);
} requests[] = {
	{"status", handle_status},
	{"sessions", handle_sessions},
	{"show", handle_show},
	{"probe", handle_probe},
	{"kill", handle_kill},
	{"reload", handle_reload},
	{"drain", handle_drain},
	{"resume", handle_resume},
	{"upgrade", handle_upgrade},
	{"leases", handle_leases},
	{"release", handle_release},
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
	client_refuse(client,
		"\"request\" is not one of status, sessions, show, probe, kill, reload, drain, resume, upgrade, leases, release");
	json_decref(request);
}
