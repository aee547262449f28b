#include "steward/control/describe.h"

#include "base/clock.h"
#include "steward/control/waits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

int describe_ask(struct control *c, const struct slot *slot, enum side side, struct tcp_facts *ret)
{
	const struct session_record *r = &slot->record;

	if (slot->fd[side] < 0)
		return -ENOTCONN;
	return side == SIDE_CLIENT ? tcp_view_ask(&c->view, &r->local, &r->client, ret)
				   : tcp_view_ask(&c->view, &r->source, &r->backend, ret);
}

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

static json_t *describe_tcp(const struct tcp_facts *f)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I}", "state", tcp_state_word(f->state),
		"unacked_bytes", (json_int_t)f->unacked_bytes, "unsent_bytes", (json_int_t)f->unsent_bytes, "unread_bytes",
		(json_int_t)f->unread_bytes, "window", (json_int_t)f->window, "last_ack_ms", (json_int_t)f->last_ack_ms,
		"last_data_ms", (json_int_t)f->last_data_ms, "retransmits", f->retransmits, "probes", f->probes, "backoff",
		f->backoff, "rtt_us", (json_int_t)f->rtt_us);
}

static json_t *describe_waits(struct control *c, const struct session_key *key, const struct slot *slot,
	const struct tcp_facts *tcp[SIDES], uint64_t now_ms)
{
	const char *named = roster_backend_text(c->roster, &slot->record);
	char backend[ENDPOINT_TEXT], text[WAITS_TEXT];
	struct waits_situation w = {
		.slot = slot,
		.tcp = {tcp[SIDE_CLIENT], tcp[SIDE_BACKEND]},
		.backend = named ? named : backend,
		.now_ms = now_ms,
	};

	endpoint_format(&slot->record.backend, backend);
	if (atomic_load(&slot->state) == SLOT_ACQUIRING)
		c->host->ask_acquire(c->context, key, &w.acquire_queued, &w.acquire_busy);
	waits_say(&w, text);
	return text_or_unknown(text);
}

json_t *describe_session(struct control *c, const struct session_key *key, const struct slot *slot, bool fully)
{
	static const char *const names[SIDES] = {"client_tcp", "backend_tcp"};
	const struct session_record *s = &slot->record;
	const struct tcp_facts *tcp[SIDES];
	struct tcp_facts facts[SIDES];
	uint64_t now_ms = clock_mono_ms();
	json_t *o = json_object();
	char text[32];

	for (enum side side = SIDE_CLIENT; side <= SIDE_BACKEND; side++)
		tcp[side] = describe_ask(c, slot, side, &facts[side]) == 0 ? &facts[side] : NULL;
	snprintf(text, sizeof text, "%" PRIx64, s->id);
	json_object_set_new(o, "id", json_string(text));
	json_object_set_new(o, "service", text_or_unknown(s->service));
	json_object_set_new(o, "state", json_string(slot_state_word(atomic_load(&slot->state))));
	json_object_set_new(o, "waits", describe_waits(c, key, slot, tcp, now_ms));
	put_endpoint(o, "client", &s->client, NULL);
	put_endpoint(o, "local", &s->local, roster_local_text(c->roster, s));
	put_endpoint(o, "backend", &s->backend, roster_backend_text(c->roster, s));
	if (s->fence)
		lease_format(s->fence, text);
	json_object_set_new(o, "lease", json_string(s->fence ? text : "-"));
	/* In the record when the books were last read; what moved since is the relay's running count. */
	json_object_set_new(o, "bytes_to_backend", json_integer((json_int_t)atomic_load(&slot->moved[SIDE_CLIENT])));
	json_object_set_new(o, "bytes_to_client", json_integer((json_int_t)atomic_load(&slot->moved[SIDE_BACKEND])));
	json_object_set_new(o, "started_us", json_integer((json_int_t)s->started_us));
	json_object_set_new(o, "age_ms", json_integer(now_ms > s->started_ms ? (json_int_t)(now_ms - s->started_ms) : 0));
	json_object_set_new(o, "relay", json_integer(key->relay));
	if (s->reason.who != WHO_NONE) {
		char reason[64];

		snprintf(reason, sizeof reason, "%s.%s", who_word(s->reason.who), how_word(s->reason.how));
		json_object_set_new(o, "reason", json_string(reason));
	}
	if (!fully)
		return o;
	json_object_set_new(o, "slot", json_integer(key->slot));
	json_object_set_new(o, "plan", json_integer(s->plan_generation));
	json_object_set_new(o, "tries", json_integer(slot->tries));
	put_endpoint(o, "source", &s->source, NULL);
	for (enum side side = SIDE_CLIENT; side <= SIDE_BACKEND; side++)
		if (tcp[side])
			json_object_set_new(o, names[side], describe_tcp(tcp[side]));
	return o;
}
