#include "steward/control/lease_requests.h"

#include "steward/control/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_DEFAULT = 100 };

void lease_walk_stop(struct control_client *client)
{
	struct lease_walk *w = &client->leases;

	if (w->question)
		w->question->on_done = NULL; /* the store frees it */
	if (w->answered)
		store_question_free(w->answered);
	*w = (struct lease_walk){0};
}

static void finish(struct control_client *client)
{
	json_t *status = client->control->host->status(client->control->context);

	client_answer(client, json_pack("{s:b, s:I, s:O}", "ok", 1, "listed", (json_int_t)client->leases.count, "leases",
				      json_object_get(status, "leases")));
	json_decref(status);
	lease_walk_stop(client);
}

static void list_one(void *context, json_t *lease)
{
	struct control_client *client = context;

	client->leases.count++;
	client_answer(client, lease);
}

void lease_walk_go_on(struct control_client *client)
{
	struct lease_walk *w = &client->leases;
	const struct leases *leases = client->control->host->leases(client->control->context);

	while (client->out_used < CONTROL_CHUNK)
		if (w->answered && w->cursor < w->answered->count) {
			list_one(client, json_loads(w->answered->texts[w->cursor++], 0, NULL));
		} else if (w->answered || !leases || !leases_walk(leases, &w->query, &w->cursor, list_one, client)) {
			finish(client);
			return;
		}
}

static void on_history(struct store_question *question)
{
	struct control_client *client = question->context;
	struct lease_walk *w = &client->leases;

	w->question = NULL;
	w->answered = question;
	w->active = true;
	if (question->error) {
		client_refuse(client, "the history cannot be read now: %s (the log says more)", strerror(-question->error));
		lease_walk_stop(client);
	}
	client_next(client);
}

static void ask_history(struct control_client *client, const struct lease_query *query)
{
	struct leases *leases = client->control->host->leases(client->control->context);
	struct store_question *question = leases ? calloc(1, sizeof *question) : NULL;

	if (!question) {
		client_refuse(client, "not now");
		return;
	}
	question->query = *query;
	question->on_done = on_history;
	question->context = client;
	client->leases.question = question;
	leases_ask_history(leases, question);
}

/* In the form in which addresses are written here, whatever form it came in. */
static bool take_client(char ret[ENDPOINT_TEXT], const char *text)
{
	struct sockaddr_storage address = {0};
	struct endpoint endpoint;

	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&address)->sin_addr) == 1)
		address.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&address)->sin6_addr) == 1)
		address.ss_family = AF_INET6;
	else if (strcmp(text, "unix") == 0)
		address.ss_family = AF_UNIX;
	else
		return false;
	endpoint_from_sockaddr(&endpoint, &address);
	endpoint_format_host(&endpoint, ret);
	return true;
}

void handle_leases(struct control_client *client, json_t *request)
{
	json_t *service = json_object_get(request, "service"), *from = json_object_get(request, "client");
	json_t *history = json_object_get(request, "history");
	json_int_t most = json_is_integer(history) ? json_integer_value(history) : HISTORY_DEFAULT;
	struct lease_query query = {0};

	if (service && (!json_is_string(service) || json_string_length(service) >= sizeof query.service)) {
		client_refuse(client, "\"service\" is no name of a service");
		return;
	}
	if (service)
		memcpy(query.service, json_string_value(service), json_string_length(service) + 1);
	if (from && (!json_is_string(from) || !take_client(query.client, json_string_value(from)))) {
		client_refuse(client, "\"client\" is no address (would be right: 192.0.2.7, 2001:db8::7, unix)");
		return;
	}
	if (history && ((!json_is_integer(history) && !json_is_boolean(history)) || most < 1 || most > HISTORY_MAX)) {
		client_refuse(client, "\"history\" is true, or a number from 1 to %d", HISTORY_MAX);
		return;
	}
	query.most = (uint32_t)most;
	client->leases = (struct lease_walk){.query = query};
	if (history && !json_is_false(history))
		ask_history(client, &query);
	else
		client->leases.active = true;
}

void handle_release(struct control_client *client, json_t *request)
{
	struct leases *leases = client->control->host->leases(client->control->context);
	uint64_t fence;

	if (!client_get_id(client, request, "lease", &fence))
		return;
	switch (leases ? -leases_release_now(leases, fence) : ESHUTDOWN) {
	case 0:
		client_answer(client, json_pack("{s:b}", "ok", 1));
		return;
	case ENOENT:
		client_refuse(client, "there is no lease %" PRIx64 " (`tcpwardenctl leases` lists those that there are)", fence);
		return;
	case EBUSY:
		client_refuse(client,
			"lease %" PRIx64
			" belongs to a session that lives (`tcpwardenctl kill` ends that, and then it is released)",
			fence);
		return;
	case EALREADY:
		client_refuse(client, "lease %" PRIx64 " is being released already", fence);
		return;
	}
	client_refuse(client, "not now: tcpwarden is starting or being stopped");
}
