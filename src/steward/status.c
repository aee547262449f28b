/* The answer to `status`: what is in force, who runs, what is held. */
#include "base/clock.h"
#include "base/escape.h"
#include "steward/log/log.h"
#include "steward/steward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WHEN_SIZE = 32 };

static const char *phase_word(const struct steward *s)
{
	switch (s->phase) {
	case PHASE_STARTING:
	case PHASE_RECOVERING:
	case PHASE_PREPARING:
		return "starting";
	case PHASE_UP:
		return s->change.state != CHANGE_NONE && s->change.cause == CAUSE_RELOAD ? "reloading" : "running";
	case PHASE_STOPPING:
	case PHASE_RELEASING:
	case PHASE_STOPPED:
		return "stopping";
	}
	return "?";
}

/* "same", "differs", or why it cannot be read. */
static const char *compare_file(const struct config *config)
{
	const char *word = "unreadable";
	char *text = malloc(config->text_length + 1);
	FILE *file = fopen(config->file, "re");

	if (file && text) {
		size_t n = fread(text, 1, config->text_length + 1, file);

		if (!ferror(file))
			word = n == config->text_length && memcmp(text, config->text, n) == 0 ? "same" : "differs";
	}
	if (file)
		fclose(file);
	free(text);
	return word;
}

/* As in the log, to the second; "-" where it never was. */
static const char *when(uint64_t real_us, char text[WHEN_SIZE])
{
	time_t seconds = (time_t)(real_us / 1000000);
	struct tm utc;

	if (!real_us || !gmtime_r(&seconds, &utc) || strftime(text, WHEN_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		strcpy(text, "-");
	return text;
}

/* It is there, and one too many. */
static bool retires(const struct steward *s, uint32_t relay)
{
	const struct config *next = s->change.state == CHANGE_GROWING ? s->change.config : s->config;

	return next && relay >= next->settings.workers;
}

static json_t *relays(const struct steward *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->roster.relays; i++) {
		const struct ledger *l = roster_ledger(&s->roster, i);
		char version[sizeof l->header->program * 4 + 1]; /* of its program; while an upgrade is under way they differ */

		if (!l && retires(s, i))
			continue;
		if (!l) {
			json_array_append_new(list, json_pack("{s:i, s:s}", "relay", (int)i, "state", "gone"));
			continue;
		}
		escape_text(version, sizeof version, l->header->program,
			strnlen(l->header->program, sizeof l->header->program)); /* a claim */
		json_array_append_new(list,
			json_pack("{s:i, s:s, s:s, s:i, s:I, s:I, s:I, s:b}", "relay", (int)i, "state",
				retires(s, i)                     ? "retiring"
				: !atomic_load(&l->header->ready) ? "starting"
								  : "running",
				"version", version, "pid", ledger_owner_pid(atomic_load(&l->header->owner)), "sessions",
				(json_int_t)roster_sessions_in(&s->roster, i), "incarnation",
				(json_int_t)roster_incarnation(&s->roster, i), "starts",
				(json_int_t)atomic_load(&l->header->starts), "has_plan", (int)roster_has_plan(&s->roster, i)));
	}
	return list;
}

static json_t *services(const struct steward *s)
{
	const struct plan *plan = &s->roster.plan;
	json_t *list = json_array();

	for (size_t i = 0; s->config && i < s->config->service_count; i++) {
		const struct service_config *service = &s->config->services[i];
		json_t *listen = json_array(), *backends = json_array();
		json_int_t sessions = 0;

		for (size_t k = 0; k < service->listen_count; k++)
			json_array_append_new(listen, json_string(service->listen[k].text));
		for (uint32_t p = 0; plan->header && p < plan->header->service_count; p++) {
			const struct plan_service *of = &plan->services[p];

			if (strncmp(of->name, service->name, sizeof of->name) != 0)
				continue;
			if (s->census)
				sessions = census_service_total(s->census, of->id);
			for (uint32_t b = of->first_backend; b < of->first_backend + of->backend_count; b++)
				json_array_append_new(backends,
					json_pack("{s:s, s:i, s:b, s:I}", "address", plan->backends[b].address, "addresses",
						(int)plan->backends[b].address_count, "drained", (int)plan->backends[b].drained,
						"sessions",
						s->census ? (json_int_t)census_backend_total(s->census, plan->backends[b].id)
							  : (json_int_t)0));
		}
		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o, s:I, s:I, s:b, s:b}", "name", service->name, "listen", listen, "backends",
				backends, "sessions", sessions, "limit", (json_int_t)service->limit_connections, "hooked",
				(int)service->policy.hooked, "drained", (int)drains_has(&s->drains, service->name, NULL)));
	}
	return list;
}

static void add_end(void *visitor, const char *reason, uint64_t count)
{
	json_object_set_new(visitor, reason, json_integer((json_int_t)count));
}

static json_t *ends(const struct steward *s)
{
	json_t *object = json_object();

	end_counts_each(&s->roster.ends, add_end, object);
	return object;
}

static json_t *upgrade(const struct steward *s)
{
	static const char *const words[] = {
		[UPGRADE_NEVER] = "never",
		[UPGRADE_UNDER_WAY] = "under way",
		[UPGRADE_DONE] = "done",
		[UPGRADE_FAILED] = "failed",
	};
	uint32_t state = s->upgrade.state;

	return json_pack("{s:I, s:s, s:s}", "number", (json_int_t)s->upgrade.number, "state",
		state < sizeof words / sizeof *words ? words[state] : "?", "error", s->upgrade.text);
}

json_t *steward_status(struct steward *s)
{
	struct lease_counts held = leases_counts(s->leases);
	const struct plan_header *plan = s->roster.plan.header;
	json_int_t sessions = 0;
	uint32_t failed = 0;
	char loaded[WHEN_SIZE];
	json_t *o;

	for (uint32_t i = 0; i < s->roster.relays; i++)
		sessions += (json_int_t)roster_sessions_in(&s->roster, i);
	roster_settled(&s->roster, &failed);
	o = json_pack(
		"{s:b, s:s, s:s, s:i}", "ok", 1, "version", TCPWARDEN_VERSION, "state", phase_word(s), "pid", (int)getpid());
	json_object_set_new(o, "config",
		json_pack("{s:s, s:s, s:s, s:I, s:I}", "file", s->config_path, "content",
			s->config ? compare_file(s->config) : "unreadable", "loaded", when(plan ? plan->loaded_us : 0, loaded),
			"loads", (json_int_t)(plan ? plan->loads : 0), "plan", (json_int_t)s->roster.generation));
	json_object_set_new(o, "sessions", json_integer(sessions));
	json_object_set_new(o, "leases",
		json_pack("{s:I, s:I, s:I, s:I}", "acquiring", (json_int_t)held.acquiring, "held", (json_int_t)held.held,
			"releasing", (json_int_t)held.releasing, "failed", (json_int_t)held.failed));
	json_object_set_new(o, "separated", json_boolean(s->begin.separated));
	json_object_set_new(o, "steward_starts", json_integer(s->begin.steward_starts));
	json_object_set_new(o, "listeners_failed", json_integer(failed));
	json_object_set_new(o, "names_pending", json_integer(s->resolver ? (json_int_t)resolver_pending(s->resolver) : 0));
	json_object_set_new(o, "events_lost", json_integer((json_int_t)s->roster.events_lost));
	json_object_set_new(o, "log_lines_dropped", json_integer((json_int_t)log_dropped()));
	json_object_set_new(o, "ends", ends(s));
	json_object_set_new(o, "upgrade", upgrade(s));
	json_object_set_new(o, "relays", relays(s));
	json_object_set_new(o, "services", services(s));
	return o;
}
