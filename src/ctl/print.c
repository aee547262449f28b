#include "ctl/print.h"

#include "base/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A terminal is shown nothing that it would obey: service names and addresses came from elsewhere. */
const char *print_text(json_t *string, char buffer[256])
{
	const char *value = json_string_value(string);

	escape_text(buffer, 256, value ? value : "-", value ? strlen(value) : 1);
	return buffer;
}

const char *print_member(json_t *object, const char *key, char buffer[256])
{
	return print_text(json_object_get(object, key), buffer);
}

static json_int_t number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *size(json_int_t bytes, char buffer[16])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t i = 0;

	while (value >= 1000 && i < sizeof units / sizeof units[0] - 1) {
		value /= 1000;
		i++;
	}
	snprintf(buffer, 16, i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
	return buffer;
}

const char *print_age(json_int_t ms, char buffer[16])
{
	json_int_t s = ms / 1000;

	if (s < 60)
		snprintf(buffer, 16, "%.1fs", (double)ms / 1000);
	else if (s < 3600)
		snprintf(buffer, 16, "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else if (s < 86400)
		snprintf(buffer, 16, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
	else
		snprintf(buffer, 16, "%dd%02dh", (int)(s / 86400 % 100000), (int)(s / 3600 % 24));
	return buffer;
}

void print_session_head(void)
{
	printf("%-16s %-16s %-10s %-24s %-24s %9s %9s %8s  %-16s  %s\n", "ID", "SERVICE", "STATE", "CLIENT", "BACKEND", "TO BACK",
		"TO CLIENT", "AGE", "LEASE", "WAITS");
}

void print_session(json_t *o)
{
	char id[256], service[256], state[256], client[256], backend[256], lease[256], waits[256], a[16], b[16], c[16];

	printf("%-16s %-16s %-10s %-24s %-24s %9s %9s %8s  %-16s  %s\n", print_member(o, "id", id),
		print_member(o, "service", service), print_member(o, "state", state), print_member(o, "client", client),
		print_member(o, "backend", backend), size(number(o, "bytes_to_backend"), a),
		size(number(o, "bytes_to_client"), b), print_age(number(o, "age_ms"), c), print_member(o, "lease", lease),
		print_member(o, "waits", waits));
}

static void print_services(json_t *services)
{
	size_t i, k;
	json_t *service, *item;

	printf("\n%-20s %9s %9s  %s\n", "SERVICE", "SESSIONS", "LIMIT", "LISTEN");
	json_array_foreach (services, i, service) {
		json_t *listen = json_object_get(service, "listen");
		json_int_t limit = number(service, "limit");
		char name[256], value[256], count[24] = "-";

		if (limit > 0)
			snprintf(count, sizeof count, "%" JSON_INTEGER_FORMAT, limit);
		printf("%-20s %9" JSON_INTEGER_FORMAT " %9s ", print_member(service, "name", name), number(service, "sessions"),
			count);
		json_array_foreach (listen, k, item) {
			const char *address = json_string_value(item);

			escape_text(value, sizeof value, address ? address : "-", address ? strlen(address) : 1);
			printf(" %s", value);
		}
		printf("%s\n", json_is_true(json_object_get(service, "drained")) ? "  drained" : "");
		json_array_foreach (json_object_get(service, "backends"), k, item) {
			printf("  -> %-15s %9" JSON_INTEGER_FORMAT "%s\n", print_member(item, "address", value),
				number(item, "sessions"),
				json_is_true(json_object_get(item, "drained")) ? "            drained"
				: number(item, "addresses") > 0                ? ""
									       : "            its name does not resolve");
		}
	}
}

static void print_ends(json_t *ends)
{
	const char *reason;
	json_t *count;

	if (json_object_size(ends) > 0)
		printf("\n%-32s %9s\n", "ENDS", "SESSIONS");
	json_object_foreach (ends, reason, count) {
		char word[256];

		escape_text(word, sizeof word, reason, strlen(reason));
		printf("%-32s %9" JSON_INTEGER_FORMAT "\n", word, json_integer_value(count));
	}
}

void print_status(json_t *o)
{
	json_t *config = json_object_get(o, "config"), *leases = json_object_get(o, "leases"),
	       *upgrade = json_object_get(o, "upgrade"), *relay;
	char a[256], b[256], c[256];
	size_t i;

	printf("tcpwarden %s is %s\n", print_member(o, "version", a), print_member(o, "state", b));
	printf("config    %s, in force since %s", print_member(config, "file", a), print_member(config, "loaded", b));
	if (number(config, "loads") > 1)
		printf(", reloaded %" JSON_INTEGER_FORMAT " time%s", number(config, "loads") - 1,
			number(config, "loads") > 2 ? "s" : "");
	printf("%s\n", strcmp(print_member(config, "content", b), "same") == 0 ? ""
		       : strcmp(b, "differs") == 0 ? "; the file has changed since: `tcpwardenctl reload` brings it into force"
						   : "; the file cannot be read now");
	printf("sessions  %" JSON_INTEGER_FORMAT "\n", number(o, "sessions"));
	printf("leases    %" JSON_INTEGER_FORMAT " held, %" JSON_INTEGER_FORMAT " being acquired, %" JSON_INTEGER_FORMAT
	       " being released, %" JSON_INTEGER_FORMAT " whose release keeps failing\n",
		number(leases, "held"), number(leases, "acquiring"), number(leases, "releasing"), number(leases, "failed"));
	if (!json_is_true(json_object_get(o, "separated")))
		printf("users     roles are not separated: all run as one user\n");
	if (number(o, "listeners_failed") > 0)
		printf("listen    %" JSON_INTEGER_FORMAT " sockets could not be opened; they are tried again, the log says why\n",
			number(o, "listeners_failed"));
	if (number(o, "events_lost") + number(o, "log_lines_dropped") > 0)
		printf("log       %" JSON_INTEGER_FORMAT " session starts and ends, and %" JSON_INTEGER_FORMAT
		       " lines were lost\n",
			number(o, "events_lost"), number(o, "log_lines_dropped"));
	if (strcmp(print_member(upgrade, "state", a), "never") != 0 && strcmp(a, "-") != 0)
		printf("upgrade   %s%s%s\n", a, strcmp(print_member(upgrade, "error", b), "-") != 0 && *b ? ": " : "",
			strcmp(b, "-") != 0 ? b : "");
	print_member(o, "version", a);
	json_array_foreach (json_object_get(o, "relays"), i, relay) {
		bool differs = strcmp(print_member(relay, "version", b), a) != 0 && *b && strcmp(b, "-") != 0;

		printf("relay %-3" JSON_INTEGER_FORMAT " %s, process %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
		       " sessions, started %" JSON_INTEGER_FORMAT " time%s%s%s%s\n",
			number(relay, "relay"), print_member(relay, "state", c), number(relay, "pid"), number(relay, "sessions"),
			number(relay, "starts"), number(relay, "starts") == 1 ? "" : "s",
			json_is_true(json_object_get(relay, "has_plan")) ? "" : ", has not taken the plan yet",
			differs ? ", of version " : "", differs ? b : "");
	}
	print_services(json_object_get(o, "services"));
	print_ends(json_object_get(o, "ends"));
}

static bool is_alive(json_t *answer, const char *side)
{
	const char *outcome = json_string_value(json_object_get(answer, side));

	return outcome && strcmp(outcome, "alive") == 0;
}

static bool was_asked(json_t *answer, const char *side)
{
	const char *outcome = json_string_value(json_object_get(answer, side));

	return outcome && strncmp(outcome, "not asked", 9) != 0;
}

bool probe_is_answered(json_t *o)
{
	bool client = is_alive(o, "client"), backend = is_alive(o, "backend");

	return (client || backend) && (client || !was_asked(o, "client")) && (backend || !was_asked(o, "backend"));
}

static void print_probe_side(json_t *o, const char *side, const char *ms_key, const char *after)
{
	json_int_t ms = number(o, ms_key);
	char outcome[256];

	print_member(o, side, outcome);
	if (ms >= 1000)
		printf("%s %s in %.0f s%s", side, outcome, (double)ms / 1000, after);
	else if (ms > 0)
		printf("%s %s in %" JSON_INTEGER_FORMAT " ms%s", side, outcome, ms, after);
	else
		printf("%s %s%s", side, outcome, after);
}

void print_probe(json_t *o)
{
	print_probe_side(o, "client", "client_ms", ", ");
	print_probe_side(o, "backend", "backend_ms", "\n");
}

static void print_tcp(const char *key, json_t *o)
{
	char state[256], ack[16], data[16];

	printf("%-18s %s, %" JSON_INTEGER_FORMAT " bytes unacknowledged, %" JSON_INTEGER_FORMAT " unsent, %" JSON_INTEGER_FORMAT
	       " unread, window %" JSON_INTEGER_FORMAT "\n",
		key, print_member(o, "state", state), number(o, "unacked_bytes"), number(o, "unsent_bytes"),
		number(o, "unread_bytes"), number(o, "window"));
	printf("%-18s last ACK %s ago, last data %s ago, %" JSON_INTEGER_FORMAT " retransmits, %" JSON_INTEGER_FORMAT
	       " probes, back-off %" JSON_INTEGER_FORMAT ", round trip %.1f ms\n",
		"", print_age(number(o, "last_ack_ms"), ack), print_age(number(o, "last_data_ms"), data),
		number(o, "retransmits"), number(o, "probes"), number(o, "backoff"), (double)number(o, "rtt_us") / 1000);
}

void print_fields(json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		char buffer[256];

		if (json_is_integer(value))
			printf("%-18s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
		else if (json_is_string(value))
			printf("%-18s %s\n", key, print_member(object, key, buffer));
		else if (json_is_object(value))
			print_tcp(key, value);
	}
}
