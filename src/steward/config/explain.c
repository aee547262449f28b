#include "steward/config/explain.h"

#include "base/duration.h"
#include "base/nearest.h"
#include "steward/config/bounds.h"
#include "steward/config/check.h"
#include "steward/config/warnings.h"
#include "wire/liveness.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { NOTE = 160, TIME = DURATION_TEXT + 1 };

static const char *const names[SIDES] = {"client", "backend"};

/* One side of the service that is explained. */
struct view {
	const struct policy *policy;
	const struct side_policy *p;
	const struct kernel *kernel;
};

typedef struct bound bound_of(const struct side_policy *p, const struct kernel *k);

struct row {
	const char *name;
	bound_of *of[SIDES];
	const char *never; /* why, if it is never */
};

static const struct row rows_dead[] = {
	{"SYN received", {bound_syn_received, NULL}, ""},
	{"SYN sent", {NULL, bound_syn_sent}, ""},
	{"acquire or connect pending", {bound_idle, NULL}, "no keepalive"},
	{"idle", {bound_idle, bound_idle}, "no keepalive"},
	{"bytes unacknowledged", {bound_unacknowledged, bound_unacknowledged}, ""},
	{"idle, then a write", {bound_write_after_silence, bound_write_after_silence}, ""},
	{"window closed", {bound_window_closed, bound_window_closed}, ""},
	{"half-closed, nothing to send", {bound_idle, bound_idle}, "no keepalive"},
	{"our FIN unacknowledged", {bound_unacknowledged, bound_unacknowledged}, ""},
	{"session over, our FIN is out", {bound_closing, bound_closing}, ""},
	{.name = NULL},
};

static const struct row rows_alive[] = {
	{"window closed, it answers", {bound_not_reading, bound_not_reading}, "stall_after is off"},
	{"session over, it takes nothing", {bound_not_taking_the_end, bound_not_taking_the_end}, ""},
	{.name = NULL},
};

static const struct row rows_background[] = {
	{"closed, bytes unacknowledged", {bound_background, bound_background}, ""},
	{"closed, and its window closed", {bound_background_window_closed, bound_background_window_closed}, ""},
	{.name = NULL},
};

static const struct row rows_let_go[] = {
	{"closed, its FIN still missing", {bound_awaited_fin, bound_awaited_fin}, ""},
	{.name = NULL},
};

static void say_bound(char text[TIME], const struct bound *bound)
{
	if (bound->ms == BOUND_NEVER)
		snprintf(text, TIME, "never");
	else if (bound->ms == 0)
		snprintf(text, TIME, "at once");
	else
		duration_say(bound->ms, text);
	if (bound->at_least)
		strcat(text, "+");
}

static void say_why(char note[NOTE], const struct view *v, const struct bound *bound, const struct row *row)
{
	static const char *const lingers[] = {"deliver", "background", "reset"};
	const struct side_policy *p = v->p;
	const struct kernel *k = v->kernel;

	note[0] = '\0';
	switch (bound->by) {
	case BY_NOTHING:
		snprintf(note, NOTE, "%s", row->never);
		break;
	case BY_DEAD_AFTER:
		if (bound->from_write)
			snprintf(note, NOTE, "dead_after, from the write: no keepalive");
		else if (bound->ms == p->dead_after_ms)
			snprintf(note, NOTE, "dead_after");
		else
			snprintf(note, NOTE, "at most: probes after %" PRIu32 " s, then %d %% of dead_after", p->keepalive_idle_s,
				LIVENESS_ASKED_PERCENT);
		break;
	case BY_KEEPALIVE:
		if (p->keepalive_steps) { /* the first and the last of them: liveness_spread */
			struct side_policy first = *p;

			liveness_spread(&first, p->keepalive_steps);
			snprintf(note, NOTE, "keepalive after %" PRIu32 " to %" PRIu32 " s, then every %" PRIu32 " s",
				first.keepalive_idle_s, p->keepalive_idle_s, p->keepalive_interval_s);
			break;
		}
		snprintf(note, NOTE, "keepalive after %" PRIu32 " s, every %" PRIu32 " s, %" PRIu32 " times", p->keepalive_idle_s,
			p->keepalive_interval_s, p->keepalive_count);
		break;
	case BY_USER_TIMEOUT:
		snprintf(note, NOTE, "user_timeout%s", bound->from_write ? ", from the write" : "");
		break;
	case BY_USER_TIMEOUT_PROBING:
		snprintf(note, NOTE, "keepalive after %" PRIu32 " s, every %" PRIu32 " s; user_timeout for the count",
			p->keepalive_idle_s, p->keepalive_interval_s);
		break;
	case BY_RETRIES:
		snprintf(note, NOTE, "the kernel gives up, tcp_retries2 %" PRIu32 "%s", k->retries2,
			bound->from_write ? ", from the write" : "");
		break;
	case BY_STALL_AFTER:
		snprintf(note, NOTE, "stall_after%s", bound->from_write ? ", from the write" : "");
		break;
	case BY_CONNECT_TIMEOUT:
		snprintf(note, NOTE, "connect_timeout, each address; at most %" PRIu32 " %s", v->policy->connect_retries + 1,
			v->policy->connect_retries ? "tries" : "try");
		break;
	case BY_SYN_RETRIES:
		snprintf(note, NOTE, "tcp_syn_retries %" PRIu32 ", each address", k->syn_retries);
		break;
	case BY_SYNACK_RETRIES:
		snprintf(note, NOTE, "tcp_synack_retries %" PRIu32 "; not a session yet", k->synack_retries);
		break;
	case BY_LINGER:
		snprintf(note, NOTE, "linger = \"%s\"", lingers[p->linger]);
		break;
	case BY_LINGER_TIMEOUT:
		snprintf(note, NOTE, "linger_timeout without progress");
		break;
	case BY_USER_TIMEOUT_AT_CLOSE:
		snprintf(note, NOTE, "linger_timeout, as TCP_USER_TIMEOUT");
		break;
	case BY_ORPHAN_RETRIES:
		snprintf(note, NOTE, "tcp_orphan_retries %" PRIu32 "%s", k->orphan_retries,
			k->orphan_retries ? "" : ", which means 8");
		break;
	case BY_FIN_TIMEOUT:
		snprintf(note, NOTE, "tcp_fin_timeout; no session any more");
		break;
	}
}

static void print_line(FILE *out, const char *what, const char *client, const char *backend, const char *note)
{
	char line[2 * NOTE];
	int length = snprintf(line, sizeof line, "  %-30s %-11s %-11s %s", what, client, backend, note);

	while (length > 0 && line[length - 1] == ' ')
		length--;
	fprintf(out, "%.*s\n", length, line);
}

/* A note that both sides share, or that only one has, stands once. */
static void print_row(FILE *out, const struct row *row, const struct view views[SIDES], unsigned sides)
{
	char times[SIDES][TIME] = {"-", "-"}, notes[SIDES][NOTE] = {"", ""}, note[2 * NOTE];
	unsigned noted = 0;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		struct bound bound;

		if (!row->of[s] || !(sides & 1u << s))
			continue;
		bound = row->of[s](views[s].p, views[s].kernel);
		say_bound(times[s], &bound);
		say_why(notes[s], &views[s], &bound, row);
		noted |= 1u << s;
	}
	if (!noted)
		return;
	if (noted != 3u || strcmp(notes[SIDE_CLIENT], notes[SIDE_BACKEND]) == 0) {
		print_line(
			out, row->name, times[SIDE_CLIENT], times[SIDE_BACKEND], notes[noted & 1u ? SIDE_CLIENT : SIDE_BACKEND]);
		return;
	}
	snprintf(note, sizeof note, "client: %s", notes[SIDE_CLIENT]);
	print_line(out, row->name, times[SIDE_CLIENT], times[SIDE_BACKEND], note);
	snprintf(note, sizeof note, "backend: %s", notes[SIDE_BACKEND]);
	print_line(out, "", "", "", note);
}

static void print_rows(FILE *out, const struct row *rows, const struct view views[SIDES], unsigned sides)
{
	for (const struct row *row = rows; row->name; row++)
		print_row(out, row, views, sides);
}

static void print_end(FILE *out, const char *setting, uint32_t ms, const char *meaning)
{
	char text[TIME] = "off";

	if (ms)
		duration_say(ms, text);
	print_line(out, setting, text, "", ms ? meaning : "");
}

/* What is taken out of use by a reload, an operator, or a name that has other addresses now. */
static void print_out_of_use(FILE *out, const struct config *config, const struct policy *policy)
{
	static const char *const notes[] = {
		[BACKEND_GONE_KEEP] = "on_backend_gone = \"keep\"",
		[BACKEND_GONE_DRAIN] = "on_backend_gone = \"drain\": drain_timeout",
		[BACKEND_GONE_CLOSE] = "on_backend_gone = \"close\"",
		[BACKEND_GONE_RESET] = "on_backend_gone = \"reset\"",
	};
	char drain[TIME] = "off";
	const char *gone = "at once";

	if (config->drain_timeout_ms)
		duration_say(config->drain_timeout_ms, drain);
	if (policy->on_backend_gone == BACKEND_GONE_KEEP)
		gone = "off";
	else if (policy->on_backend_gone == BACKEND_GONE_DRAIN)
		gone = drain;
	print_line(out, "service removed, or drained", drain, "", "drain_timeout");
	print_line(out, "backend drained", "", drain, "drain_timeout");
	print_line(out, "backend removed, or elsewhere", "", gone, notes[policy->on_backend_gone]);
}

static void print_asking(FILE *out, const char *side, const struct view *v)
{
	char gap[TIME], how[NOTE];

	duration_say(bounds_gap_ms(v->p, v->kernel), gap);
	if (!bounds_are_paced(v->p, v->kernel))
		snprintf(how, sizeof how, "%s: the kernel as it likes",
			v->p->ask_gap_ms ? "user_timeout is set" : "dead_after is off");
	else if (v->kernel->paces)
		snprintf(how, sizeof how, "TCP_RTO_MAX_MS %" PRIu64, bounds_gap_ms(v->p, v->kernel));
	else
		snprintf(how, sizeof how, "TCP_USER_TIMEOUT moved ahead (no TCP_RTO_MAX_MS, as before Linux 6.15)");
	print_line(out, side, gap, "", how);
}

struct printed {
	FILE *out;
	bool any;
};

static void print_warning(void *context, const char *line)
{
	struct printed *printed = context;

	if (!printed->any)
		fprintf(printed->out, "\n");
	printed->any = true;
	fprintf(printed->out, "%s\n", line);
}

static void explain_service(FILE *out, const struct config *config, size_t index, const struct kernel *kernel)
{
	const struct service_config *service = &config->services[index];
	const struct policy *policy = &service->policy;
	const struct view views[SIDES] = {
		{policy, &policy->side[SIDE_CLIENT], kernel},
		{policy, &policy->side[SIDE_BACKEND], kernel},
	};
	struct printed printed = {out, false};
	unsigned tcp = 0, background = 0;

	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++) {
		if (!service_has_tcp(service, s))
			continue;
		tcp |= 1u << s;
		if (policy->side[s].linger == LINGER_BACKGROUND)
			background |= 1u << s;
	}
	fprintf(out, "%s\n", service->name);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (!(tcp & 1u << s))
			fprintf(out, "\n  %s: unix sockets, whose end is told at once: there is nothing to ask\n", names[s]);
	fprintf(out, "\n");
	if (tcp)
		print_line(out, "A dead peer is noticed after", names[SIDE_CLIENT], names[SIDE_BACKEND], "");
	print_rows(out, rows_dead, views, tcp);
	fprintf(out, "%s  A living one is given up after\n", tcp ? "\n" : "");
	print_rows(out, rows_alive, views, tcp);
	print_end(out, "idle_timeout", policy->idle_timeout_ms, "no byte moved either way");
	print_end(
		out, "half_close_timeout", policy->half_close_timeout_ms, "one direction has ended, nothing moved in the other");
	print_end(out, "lifetime", policy->lifetime_ms, "whatever it does");
	print_out_of_use(out, config, policy);
	if (tcp) {
		fprintf(out, "\n  What is closed the kernel gives up after\n");
		print_rows(out, rows_background, views, background);
		print_rows(out, rows_let_go, views, tcp);
		fprintf(out, "\n  With bytes outstanding a peer is asked at least every\n");
	}
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		if (tcp & 1u << s)
			print_asking(out, names[s], &views[s]);
	warnings_tell_times(&(struct warnings){config, kernel, print_warning, &printed}, index);
}

/* The word that was meant, or all that could be. */
static void say_unknown(FILE *err, const struct config *config, const char *service)
{
	const char **known = calloc(config->service_count, sizeof *known), *nearest = NULL;

	for (size_t i = 0; known && i < config->service_count; i++)
		known[i] = config->services[i].name;
	if (known)
		nearest = nearest_word(service, known, config->service_count);
	fprintf(err, "%s: there is no service \"%s\" (", config->file, service);
	if (nearest)
		fprintf(err, "did you mean \"%s\"?", nearest);
	for (size_t i = 0; !nearest && i < config->service_count; i++)
		fprintf(err, "%s\"%s\"", i ? ", " : "", config->services[i].name);
	fprintf(err, ")\n");
	free(known);
}

int explain_report(const char *path, const char *service, const struct kernel *kernel, FILE *out, FILE *err)
{
	struct config *config = NULL;
	bool found = false;
	int r = check_load(path, &config, err);

	if (r)
		return r;
	for (size_t i = 0; i < config->service_count; i++) {
		if (service && strcmp(config->services[i].name, service) != 0)
			continue;
		if (found)
			fprintf(out, "\n");
		found = true;
		explain_service(out, config, i, kernel);
	}
	if (found)
		fprintf(out,
			"\nTimes count from the last sign of life and may be exceeded by a tenth or a second; those with a \"+\" "
			"grow with\nthe delay of the path. What they mean is in tcpwarden.conf(5), DEAD, SLOW, IDLE.\n");
	else
		say_unknown(err, config, service);
	config_free(config);
	return found ? 0 : EX_USAGE;
}

int explain_main(const char *path, const char *service)
{
	struct kernel kernel;
	int r;

	kernel_read(&kernel, KERNEL_SYSCTLS);
	r = explain_report(path, service, &kernel, stdout, stderr);
	return fflush(stdout) == 0 ? r : EX_IOERR;
}
