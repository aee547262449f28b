#include "steward/control/probe.h"

#include "base/clock.h"
#include "steward/control/describe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	LOOK_MS = 20,
	PATIENCE_MS = 5000,
	PATIENCE_MOST_MS = 30000,
	ROUND_TRIP_MS = 2000,
	TICK_MS = 10, /* the kernel tells ages in ticks of at most this */
};

static void settle(struct probe_side *side, const char *outcome, uint64_t took_ms)
{
	side->pending = false;
	side->outcome = outcome;
	side->took_ms = took_ms;
}

static void answer(struct control_client *client)
{
	static const char *const names[SIDES][2] = {{"client", "client_ms"}, {"backend", "backend_ms"}};
	struct probe *p = &client->probe;
	json_t *o = json_pack("{s:b}", "ok", 1);

	uv_timer_stop(&p->timer);
	p->active = false;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		json_object_set_new(o, names[s][0], json_string(p->side[s].outcome));
		if (p->side[s].took_ms)
			json_object_set_new(o, names[s][1], json_integer((json_int_t)p->side[s].took_ms));
	}
	client_answer(client, o);
}

/* An ACK or data, and one that came after the question: the age alone is too coarse to tell, and a segment that the kernel does
 * not accept proves nothing. */
static bool is_answered(const struct probe_side *side, const struct tcp_facts *facts, uint64_t passed_ms)
{
	return facts->segments != side->segments && tcp_facts_heard_ms(facts) <= passed_ms + TICK_MS;
}

static void look_at(struct control_client *client, const struct slot *slot, enum side s, uint64_t passed_ms)
{
	struct probe_side *side = &client->probe.side[s];
	struct tcp_facts facts;
	int r = describe_ask(client->control, slot, s, &facts);

	if (r == -ENOENT || r == -ENOTCONN) {
		settle(side, "gone", 0);
	} else if (r == 0 && is_answered(side, &facts, passed_ms)) {
		uint64_t heard_ms = tcp_facts_heard_ms(&facts);

		settle(side, "alive", passed_ms > heard_ms ? passed_ms - heard_ms : 1);
	} else if (passed_ms >= side->patience_ms) {
		settle(side, "no answer", passed_ms);
	}
}

static void on_look(uv_timer_t *timer)
{
	struct control_client *client = timer->data;
	struct probe *p = &client->probe;
	uint64_t passed_ms = clock_mono_ms() - p->asked_ms;
	struct slot slot;
	bool lives = roster_lives(client->control->roster, &p->key, &slot);

	if (client->closing)
		return;
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (p->side[s].pending && !lives)
			settle(&p->side[s], "gone", 0);
		else if (p->side[s].pending)
			look_at(client, &slot, s, passed_ms);
	if (p->side[SIDE_CLIENT].pending || p->side[SIDE_BACKEND].pending)
		return;
	answer(client);
	client_next(client);
}

/* With bytes outstanding no one can make the kernel ask: it does so by itself, and a living peer that does not read answers only
 * then. */
static uint64_t patience_ms(const struct tcp_facts *facts)
{
	uint64_t ms = facts->asks_in_ms ? facts->asks_in_ms + (uint64_t)ROUND_TRIP_MS : 0;

	if (ms > PATIENCE_MOST_MS)
		return PATIENCE_MOST_MS;
	return ms > PATIENCE_MS ? ms : PATIENCE_MS;
}

static void begin_side(struct control_client *client, const struct slot *slot, enum side s)
{
	struct probe_side *side = &client->probe.side[s];
	struct tcp_facts facts;
	int r = describe_ask(client->control, slot, s, &facts);

	*side = (struct probe_side){0};
	if (r == 0)
		*side = (struct probe_side){.pending = true, .segments = facts.segments, .patience_ms = patience_ms(&facts)};
	else if (r == -EAFNOSUPPORT && (s == SIDE_CLIENT ? slot->record.local : slot->record.backend).family == AF_UNIX)
		side->outcome = "not asked (unix socket)";
	else
		side->outcome = "not asked (not connected)";
}

static const char *remedy(int error)
{
	if (error == -EPROTONOSUPPORT)
		return "; modprobe tcp_diag";
	return error == -EAFNOSUPPORT || error == -EPERM || error == -EACCES
		       ? "; in a sandbox, such as systemd's RestrictAddressFamilies=, allow AF_NETLINK"
		       : "";
}

void probe_start(struct control_client *client, uint64_t id)
{
	struct roster *roster = client->control->roster;
	int error = client->control->view.error;
	struct probe *p = &client->probe;
	struct slot slot;

	if (error) {
		client_refuse(client,
			"the kernel tells nothing about connections here, so no answer would be seen (sock_diag: %s%s)",
			strerror(-error), remedy(error));
		return;
	}
	if (roster_find(roster, id, &p->key.relay, &p->key.slot, &slot) < 0) {
		client_refuse_unknown(client, id);
		return;
	}
	p->key.id = id;
	p->key.incarnation = roster_incarnation(roster, p->key.relay);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		begin_side(client, &slot, s);
	if (!p->side[SIDE_CLIENT].pending && !p->side[SIDE_BACKEND].pending) {
		answer(client);
		return;
	}
	p->asked_ms = clock_mono_ms();
	p->active = true;
	roster_probe(roster, id);
	uv_timer_start(&p->timer, on_look, LOOK_MS, LOOK_MS);
}
