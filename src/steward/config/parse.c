#include "base/nearest.h"
#include "steward/config/reader.h"
#include "steward/config/syntax.h"
#include "steward/config/value.h"
#include "wire/census.h"
#include "wire/liveness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where else a setting of this name stands, as "client.linger"; false: nowhere. */
static bool find_elsewhere(const struct setting *group, const char *name, const char *prefix, char *ret, size_t size)
{
	for (const struct setting *s = group; s->name; s++) {
		char path[READER_PATH];
		snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", s->name);
		if (strcmp(s->name, name) == 0) {
			snprintf(ret, size, "%s", path);
			return true;
		}
		if (s->settings && s->kind != SETTING_DEFAULTS && find_elsewhere(s->settings, name, path, ret, size))
			return true;
	}
	return false;
}

static void complain_unknown(
	struct reader *r, const char *path, const char *parent, const struct setting *settings, const char *name, unsigned line)
{
	const char *known[64], *near;
	char elsewhere[READER_PATH], all[512];
	size_t count = 0, used = 0;

	if (setting_is_later(parent, name)) {
		reader_complain(r, line, path, "this version does not have that setting (take it out)");
		return;
	}
	for (const struct setting *s = settings; s->name && count < sizeof known / sizeof *known; s++)
		known[count++] = s->name;
	near = nearest_word(name, known, count);
	if (near && strcasecmp(near, name) == 0) {
		reader_complain(r, line, path, "no such setting (did you mean \"%s\"?)", near);
		return;
	}
	if (find_elsewhere(settings_top, name, "", elsewhere, sizeof elsewhere)) {
		reader_complain(r, line, path, "no such setting here (it belongs in %s)", elsewhere);
		return;
	}
	if (near) {
		reader_complain(r, line, path, "no such setting (did you mean \"%s\"?)", near);
		return;
	}
	all[0] = '\0';
	for (size_t i = 0; i < count && used < sizeof all; i++)
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", known[i]);
	reader_complain(r, line, path, "no such setting (known here: %s)", all);
}

/* A value of a kind that is one text, as that text; false: its type does not fit the kind. */
static bool as_text(const struct setting *s, const config_setting_t *value, char number[32], const char **ret)
{
	int type = config_setting_type(value);

	if (s->kind == SETTING_NUMBER) {
		if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
			return false;
		snprintf(number, 32, "%lld", config_setting_get_int64(value));
		*ret = number;
		return true;
	}
	if (s->kind == SETTING_BOOL) {
		if (type != CONFIG_TYPE_BOOL)
			return false;
		*ret = config_setting_get_bool(value) ? "true" : "false";
		return true;
	}
	if (s->off && type == CONFIG_TYPE_BOOL && !config_setting_get_bool(value)) {
		*ret = "off"; /* what "off" means is clear from false as well */
		return true;
	}
	if (type != CONFIG_TYPE_STRING)
		return false;
	*ret = config_setting_get_string(value);
	return true;
}

static void read_simple(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, void *into)
{
	char number[32], why[VALUE_WHY];
	const char *text;
	int e;

	if (!as_text(s, value, number, &text)) {
		reader_complain_type(r, path, s, value);
		return;
	}
	e = value_store(s, text, into, why);
	if (e == -ENOMEM)
		r->no_memory = true;
	else if (e < 0)
		reader_complain(r, config_setting_source_line(value), path, "%s", why);
}

static void read_keepalive(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, void *into)
{
	struct side_policy *side = into;
	int type = config_setting_type(value);
	bool off = (type == CONFIG_TYPE_BOOL && !config_setting_get_bool(value)) ||
		   (type == CONFIG_TYPE_STRING && strcmp(config_setting_get_string(value), "off") == 0);

	if (off) {
		side->keepalive_idle_s = KEEPALIVE_OFF;
		return;
	}
	if (type != CONFIG_TYPE_BOOL && type != CONFIG_TYPE_GROUP) {
		reader_complain_type(r, path, s, value);
		return;
	}
	/* On again where the defaults had turned it off. */
	if (side->keepalive_idle_s == KEEPALIVE_OFF)
		side->keepalive_idle_s = 0;
	if (type == CONFIG_TYPE_GROUP)
		read_group(r, path, s->name, s->settings, value, into);
}

static void read_one(struct reader *r, const char *path, const struct setting *s, const config_setting_t *value, void *into)
{
	switch (s->kind) {
	case SETTING_BOOL:
	case SETTING_NUMBER:
	case SETTING_MS:
	case SETTING_S:
	case SETTING_WORD:
	case SETTING_OCTAL:
	case SETTING_PATH:
	case SETTING_PATH_ARRAY:
	case SETTING_USER_ARRAY:
	case SETTING_USER_NAME:
	case SETTING_GROUP_NAME:
		read_simple(r, path, s, value, into);
		return;
	case SETTING_TEXT: /* a backend's address: only its type; read_backends takes it */
		if (config_setting_type(value) != CONFIG_TYPE_STRING)
			reader_complain_type(r, path, s, value);
		return;
	case SETTING_COMMAND:
		read_command(r, path, s, value, into);
		return;
	case SETTING_ENVIRONMENT:
		read_environment(r, path, s, value, into);
		return;
	case SETTING_REPLY:
		read_reply(r, path, s, value, into);
		return;
	case SETTING_LISTEN:
		read_listen(r, path, s, value, into);
		return;
	case SETTING_BACKENDS:
		read_backends(r, path, s, value, into);
		return;
	case SETTING_NAME:
		read_name(r, path, s, value, into);
		return;
	case SETTING_KEEPALIVE:
		read_keepalive(r, path, s, value, into);
		return;
	case SETTING_GROUP:
		if (config_setting_type(value) != CONFIG_TYPE_GROUP)
			reader_complain_type(r, path, s, value);
		else
			read_group(r, path, s->name, s->settings, value, (char *)into + s->offset);
		return;
	case SETTING_DEFAULTS:
	case SETTING_SERVICES:
		return; /* read when everything else has been */
	}
}

void read_group(struct reader *r, const char *path, const char *parent, const struct setting *settings,
	const config_setting_t *group, void *into)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *value = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(value);
		const struct setting *s = setting_find(settings, name);
		char here[READER_PATH];

		snprintf(here, sizeof here, "%s%s%.64s", path, path[0] ? "." : "", name);
		if (!s)
			complain_unknown(r, here, parent, settings, name, config_setting_source_line(value));
		else if (s->own && strcmp(parent, "defaults") == 0)
			reader_complain(r, config_setting_source_line(value), here,
				"each service has its own (put it into the services)");
		else
			read_one(r, here, s, value, into);
	}
}

/* What a number of 0 stands for. */
static uint32_t cpus(void)
{
	cpu_set_t set;
	int count = 1;

	/* Fails with more than 1024 CPUs, which is more than there may be relays. */
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		count = CPU_COUNT(&set);
	else
		count = CENSUS_RELAYS;
	return count < 1 ? 1 : count > CENSUS_RELAYS ? CENSUS_RELAYS : (uint32_t)count;
}

static void read_root(struct reader *r, const config_setting_t *root)
{
	struct config *config = r->config;
	const config_setting_t *services = config_setting_get_member(root, "services");

	if (value_store_defaults(settings_top, config) < 0) {
		r->no_memory = true;
		return;
	}
	r->defaults = config_setting_get_member(root, "defaults");
	if (r->defaults && config_setting_type(r->defaults) != CONFIG_TYPE_GROUP) {
		reader_complain_type(r, "defaults", setting_find(settings_top, "defaults"), r->defaults);
		r->defaults = NULL;
	}
	read_group(r, "", "", settings_top, root, config);
	if (config->settings.workers == 0)
		config->settings.workers = cpus();
	if (services)
		read_services(r, services);
	else
		reader_complain(
			r, 1, "services", "there are none (services: ( { name = ...; listen = ...; backends = ...; } );)");
}

/* `text` has room for two bytes more. */
static int parse_tree(struct reader *r, char *text, size_t length)
{
	struct syntax_fault fault;
	config_t tree;

	if (syntax_trap(text, length, &fault)) {
		reader_complain(r, fault.line, "", "%s", fault.what);
		return -EINVAL;
	}
	config_init(&tree);
	/* libconfig refuses a comment that ends with the file instead of a line. */
	strcpy(text + length, "\n");
	if (config_read_string(&tree, text)) {
		read_root(r, config_root_setting(&tree));
	} else {
		syntax_guess(text, length, (unsigned)config_error_line(&tree), config_error_text(&tree), &fault);
		reader_complain(r, fault.line, "", "%s", fault.what);
	}
	config_destroy(&tree);
	text[length] = '\0';
	return r->no_memory ? -ENOMEM : r->error_count ? -EINVAL : 0;
}

static int parse(const char *file, const char *text, size_t length, bool again, struct config **ret, struct config_errors *errors)
{
	struct config *config = calloc(1, sizeof *config);
	struct reader reader;
	int r = -ENOMEM;

	reader_init(&reader, file, config);
	reader.again = again;
	if (!config)
		goto out;
	config->file = strdup(file);
	config->text = malloc(length + 2);
	if (!config->file || !config->text)
		goto out;
	memcpy(config->text, text, length);
	config->text[length] = '\0';
	config->text_length = length;
	r = parse_tree(&reader, config->text, length);
	if (r == -EINVAL && reader_take_errors(&reader, errors) < 0)
		r = -ENOMEM;
out:
	reader_fini(&reader);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}

int config_parse(const char *file, const char *text, size_t length, struct config **ret, struct config_errors *errors)
{
	return parse(file, text, length, false, ret, errors);
}

int config_parse_again(const char *file, const char *text, size_t length, struct config **ret, struct config_errors *errors)
{
	return parse(file, text, length, true, ret, errors);
}
