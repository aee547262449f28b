#include "steward/config/address.h"
#include "steward/config/list.h"
#include "steward/config/reader.h"
#include "steward/config/value.h"
#include "wire/census.h"
#include "wire/liveness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned line_of(const config_setting_t *value)
{
	return config_setting_source_line(value);
}

static bool is_string(const config_setting_t *value)
{
	return config_setting_type(value) == CONFIG_TYPE_STRING;
}

static void note_listener(struct reader *r, const struct address *a, const char *path, unsigned line)
{
	struct known_listener *more;

	if (r->muted)
		return;
	for (size_t i = 0; i < r->listener_count; i++) {
		const struct known_listener *known = &r->listeners[i];
		if (!address_clashes(&known->address, a))
			continue;
		if (strcmp(known->address.text, a->text) == 0)
			reader_complain(r, line, path, "\"%s\" is listened on already (by %s in line %u)", a->text, known->path,
				known->line);
		else
			reader_complain(r, line, path, "\"%s\" is the same socket as \"%s\" (of %s in line %u; keep one)",
				a->text, known->address.text, known->path, known->line);
		return;
	}
	if (r->listener_count == LEDGER_LISTENERS_WANTED) {
		reader_complain(r, line, path, "too many addresses to listen on (at most %d in all)", LEDGER_LISTENERS_WANTED);
		return;
	}
	more = realloc(r->listeners, (r->listener_count + 1) * sizeof *more);
	if (!more) {
		r->no_memory = true;
		return;
	}
	r->listeners = more;
	more[r->listener_count].address = *a;
	more[r->listener_count].line = line;
	snprintf(more[r->listener_count].path, READER_PATH, "%s", path);
	r->listener_count++;
}

void read_listen(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value,
	struct service_config *service)
{
	size_t count = list_count(value);
	char why[ADDRESS_WHY], here[READER_PATH];

	if (count == 0) {
		reader_complain(r, line_of(value), path, "an empty list (an address, for example \"*:5020\")");
		return;
	}
	service->listen = calloc(count, sizeof *service->listen);
	if (!service->listen) {
		r->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *one = list_element(value, i, path, here);
		struct address *a = &service->listen[service->listen_count];
		if (!is_string(one)) {
			reader_complain_type(r, here, s, one);
		} else if (address_parse(config_setting_get_string(one), ADDRESS_LISTEN, a, why) < 0) {
			reader_complain(r, line_of(one), here, "%s", why);
		} else {
			note_listener(r, a, here, line_of(one));
			service->listen_count++;
		}
	}
}

/* "HOST:PORT", or { address = "HOST:PORT"; } */
static const config_setting_t *backend_address(
	struct reader *r, const char *path, const struct setting *s, const config_setting_t *value)
{
	const config_setting_t *address;

	if (is_string(value))
		return value;
	if (config_setting_type(value) != CONFIG_TYPE_GROUP) {
		reader_complain_type(r, path, s, value);
		return NULL;
	}
	/* Other settings in it are unknown; `address` itself is taken below. */
	read_group(r, path, "backends", settings_backend, value, NULL);
	address = config_setting_get_member(value, "address");
	if (!address)
		reader_complain(r, line_of(value), path, "no address (address = \"HOST:PORT\";)");
	else if (is_string(address))
		return address;
	return NULL;
}

void read_backends(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value,
	struct service_config *service)
{
	size_t count = list_count(value);
	char why[ADDRESS_WHY], here[READER_PATH];

	if (count == 0) {
		reader_complain(r, line_of(value), path, "an empty list (an address, for example \"plc-a.lan:502\")");
		return;
	}
	free(service->backends); /* the defaults' */
	service->backend_count = 0;
	service->backends = calloc(count, sizeof *service->backends);
	if (!service->backends) {
		r->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *one = list_element(value, i, path, here);
		const config_setting_t *address = backend_address(r, here, s, one);
		struct address *a = &service->backends[service->backend_count].address;
		bool twice = false;

		if (!address)
			continue;
		if (address_parse(config_setting_get_string(address), ADDRESS_BACKEND, a, why) < 0) {
			reader_complain(r, line_of(address), here, "%s", why);
			continue;
		}
		for (size_t j = 0; j < service->backend_count; j++)
			twice = twice || strcmp(service->backends[j].address.text, a->text) == 0;
		if (twice)
			reader_complain(
				r, line_of(address), here, "\"%s\" is a backend of this service already (keep one)", a->text);
		else
			service->backend_count++;
	}
}

void read_reply(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value,
	struct service_config *service)
{
	const char *text;
	char *copy;

	if (!is_string(value)) {
		reader_complain_type(r, path, s, value);
		return;
	}
	text = config_setting_get_string(value);
	if (strlen(text) > s->high) {
		reader_complain(r, line_of(value), path, "a message of %zu bytes (at most %llu)", strlen(text),
			(unsigned long long)s->high);
		return;
	}
	copy = text[0] ? strdup(text) : NULL; /* "" takes back what the defaults have */
	if (text[0] && !copy) {
		r->no_memory = true;
		return;
	}
	free(service->reject_message);
	service->reject_message = copy;
	service->reject_length = strlen(text);
}

void read_name(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value,
	struct service_config *service)
{
	const char *name;
	char what[200];
	bool good;

	if (!is_string(value)) {
		reader_complain_type(r, path, s, value);
		return;
	}
	name = config_setting_get_string(value);
	setting_describe(s, what, sizeof what);
	good = name[0] != '\0';
	for (const char *p = name; *p; p++)
		good = good && (isalnum((unsigned char)*p) || *p == '.' || *p == '_' || *p == '-');
	if (!good)
		reader_complain(r, line_of(value), path, "\"%.80s\" is not a possible name (%s)", name, what);
	else if (strlen(name) >= sizeof service->name)
		reader_complain(r, line_of(value), path, "\"%.80s\" is too long (%s)", name, what);
	else
		strcpy(service->name, name);
}

static const config_setting_t *member(const config_setting_t *group, const char *name)
{
	return group && config_setting_type(group) == CONFIG_TYPE_GROUP ? config_setting_get_member(group, name) : NULL;
}

static struct hook_config *hook_of(struct service_config *service, enum hook_event event)
{
	return (struct hook_config *)(uintptr_t)service_hook(service, event); /* const for who asks a config */
}

/* A service that speaks of a hook must have its command from somewhere. */
static void check_hook(
	struct reader *r, const char *path, const config_setting_t *group, enum hook_event event, struct hook_config *hook)
{
	const char *name = hook_event_word(event);
	const config_setting_t *here = member(member(group, "hooks"), name);
	char at[READER_PATH];

	read_hook_user(r, path, group, event, hook);
	/* What is no group was complained of. */
	if (!here || config_setting_type(here) != CONFIG_TYPE_GROUP || hook->command || member(here, "command"))
		return;
	snprintf(at, sizeof at, "%.120s.hooks.%s", path, name);
	reader_complain(r, line_of(here), at, "no command (command = [ \"/path/of/program\", \"argument\" ];)");
}

/* The kernel asks nobody within a second of his last word. */
static void check_reclaim(struct reader *r, const char *path, const config_setting_t *group, const struct service_config *service)
{
	const config_setting_t *here = member(member(group, "limits"), "reclaim_timeout");
	char at[READER_PATH];

	if (!service->reclaim_timeout_ms || service->reclaim_timeout_ms >= RECLAIM_LEAST_MS)
		return;
	snprintf(at, sizeof at, "%.120s.limits.reclaim_timeout", path);
	reader_complain(
		r, line_of(here ? here : group), at, "too short for anyone to answer (\"1s\" to \"60s\", or \"0s\": off)");
}

static void read_service(struct reader *r, const config_setting_t *group, size_t index, struct service_config *service)
{
	char path[READER_PATH];

	snprintf(path, sizeof path, "services[%zu]", index);
	if (value_store_defaults(settings_service, service) < 0) {
		r->no_memory = true;
		return;
	}
	service->acquire.umask = service->connected.umask = service->renew.umask = service->release.umask =
		service->prepare_listen.umask = service->shutdown.umask = -1;
	if (r->defaults) {
		r->muted = true; /* complained of once, where it stands */
		read_group(r, "defaults", "defaults", settings_service, r->defaults, service);
		r->muted = false;
	}
	read_group(r, path, "services", settings_service, group, service);
	if (!member(group, "name"))
		reader_complain(r, line_of(group), path, "no name (name = \"plc-gateway\";)");
	if (!member(group, "listen"))
		reader_complain(r, line_of(group), path, "no listen (listen = \"*:5020\";)");
	if (!member(group, "backends") && !member(r->defaults, "backends"))
		reader_complain(r, line_of(group), path, "no backends (backends = \"plc-a.lan:502\";)");
	for (enum hook_event event = 0; event < HOOK_EVENTS; event++)
		check_hook(r, path, group, event, hook_of(service, event));
	check_reclaim(r, path, group, service);
	for (enum side s = SIDE_CLIENT; s <= SIDE_BACKEND; s++)
		liveness_derive(&service->policy.side[s]);
	service->policy.hooked = service_has_lease(service);
}

static void check_names(struct reader *r, const config_setting_t *list)
{
	const struct config *config = r->config;

	for (size_t i = 1; i < config->service_count; i++) {
		const char *name = config->services[i].name;
		char path[READER_PATH];

		for (size_t j = 0; name[0] != '\0' && j < i; j++) {
			if (strcmp(config->services[j].name, name) != 0)
				continue;
			snprintf(path, sizeof path, "services[%zu].name", i);
			reader_complain(r, line_of(config_setting_get_member(config_setting_get_elem(list, (unsigned)i), "name")),
				path, "there is a service \"%s\" already (services[%zu] in line %u)", name, j,
				line_of(config_setting_get_elem(list, (unsigned)j)));
			break;
		}
	}
}

void read_services(struct reader *r, const config_setting_t *services)
{
	struct config *config = r->config;
	size_t count, backends = 0;

	if (r->defaults) {
		struct service_config scratch = {.name = ""};
		read_group(r, "defaults", "defaults", settings_service, r->defaults, &scratch);
		for (enum hook_event event = 0; event < HOOK_EVENTS; event++)
			read_hook_user(r, "defaults", r->defaults, event, hook_of(&scratch, event));
		service_config_fini(&scratch);
	}
	if (config_setting_type(services) != CONFIG_TYPE_LIST) {
		reader_complain_type(r, "services", setting_find(settings_top, "services"), services);
		return;
	}
	count = (size_t)config_setting_length(services);
	if (count == 0 || count >= CENSUS_SERVICES) {
		reader_complain(r, line_of(services), "services", "%zu services (1 to %d)", count, CENSUS_SERVICES - 1);
		return;
	}
	config->services = calloc(count, sizeof *config->services);
	if (!config->services) {
		r->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count && !r->no_memory; i++) {
		const config_setting_t *one = config_setting_get_elem(services, (unsigned)i);
		char path[READER_PATH];

		config->service_count = i + 1;
		if (config_setting_type(one) == CONFIG_TYPE_GROUP) {
			read_service(r, one, i, &config->services[i]);
		} else {
			snprintf(path, sizeof path, "services[%zu]", i);
			reader_complain(r, line_of(one), path, "not a group ({ name = ...; listen = ...; backends = ...; })");
		}
		backends += config->services[i].backend_count;
	}
	if (backends >= CENSUS_BACKENDS)
		reader_complain(
			r, line_of(services), "services", "%zu backends in all (at most %d)", backends, CENSUS_BACKENDS - 1);
	check_names(r, services);
}
