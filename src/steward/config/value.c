#include "steward/config/value.h"

#include "base/duration.h"
#include "base/nearest.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static __attribute__((format(printf, 2, 3))) int wrong(char why[VALUE_WHY], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, VALUE_WHY, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int impossible(const struct setting *s, const char *text, char why[VALUE_WHY])
{
	char what[200];

	setting_describe(s, what, sizeof what);
	return wrong(why, "\"%.80s\" is not possible (%s)", text, what);
}

static void put_u32(const struct setting *s, void *into, uint64_t number)
{
	uint32_t n = (uint32_t)number;

	assert(s->size == sizeof n);
	memcpy((char *)into + s->offset, &n, sizeof n);
}

static int put_text(const struct setting *s, void *into, const char *text)
{
	char **at = (void *)((char *)into + s->offset), *copy = NULL;

	assert(s->size == sizeof copy);
	if (text) {
		copy = strdup(text);
		if (!copy)
			return -ENOMEM;
	}
	free(*at);
	*at = copy;
	return 0;
}

static int store_number(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	long long number = strtoll(text, NULL, 10);

	if (number < (long long)s->low || number > (long long)s->high) {
		char what[200];
		setting_describe(s, what, sizeof what);
		return wrong(why, "%s is not possible (%s)", text, what);
	}
	put_u32(s, into, (uint64_t)number);
	return 0;
}

static int store_duration(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	uint64_t ms = 0;
	char what[200];
	int r = duration_parse(text, &ms);

	if (r == -EDOM)
		return wrong(why, "\"%.40s\" has no unit (for example \"%.40ss\")", text, text);
	if (r == -EINVAL && text[0] == '-' && duration_parse(text + 1, &ms) == 0)
		return impossible(s, text, why);
	if (r == -EINVAL) {
		setting_describe(s, what, sizeof what);
		return wrong(why, "\"%.40s\" is not a duration (%s; units: ms, s, m, h, d)", text, what);
	}
	if (r < 0 || ms < s->low || ms > s->high)
		return impossible(s, text, why);
	if (s->kind == SETTING_S && ms % 1000)
		return wrong(why, "\"%.40s\" is not a whole number of seconds (the kernel takes no less)", text);
	put_u32(s, into, s->kind == SETTING_S ? ms / 1000 : ms);
	return 0;
}

static int store_word(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	char what[200];
	const char *near;
	uint32_t n = 0;
	size_t count;

	while (s->words[n] && strcmp(s->words[n], text) != 0)
		n++;
	if (s->words[n]) {
		/* enum fields are as wide as their struct needs them to be */
		if (s->size == sizeof n)
			memcpy((char *)into + s->offset, &n, sizeof n);
		else
			*((unsigned char *)into + s->offset) = (unsigned char)n;
		return 0;
	}
	count = n;
	near = nearest_word(text, s->words, count);
	if (near)
		return wrong(why, "there is no \"%.80s\" (did you mean \"%s\"?)", text, near);
	setting_describe(s, what, sizeof what);
	return wrong(why, "there is no \"%.80s\" (%s)", text, what);
}

static int store_octal(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	unsigned long bits = strtoul(text, NULL, 8);

	if (text[0] == '\0' || strspn(text, "01234567") != strlen(text) || strlen(text) > 5 || bits > s->high)
		return impossible(s, text, why);
	put_u32(s, into, bits);
	return 0;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return false;
	return true;
}

static int store_path(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	size_t longest = s->kind == SETTING_PATH_ARRAY ? s->size - 1 : s->high;

	if (text[0] != '/' || !printable(text))
		return wrong(why, "\"%.80s\" is not an absolute path (it begins with \"/\")", printable(text) ? text : "...");
	if (strlen(text) > longest)
		return wrong(why, "a path of %zu bytes (at most %zu)", strlen(text), longest);
	if (s->kind == SETTING_PATH)
		return put_text(s, into, text);
	memset((char *)into + s->offset, 0, s->size);
	memcpy((char *)into + s->offset, text, strlen(text));
	return 0;
}

/* useradd(8): what names are made of; whether there is such a one, the machine that runs it knows. */
static int store_user(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	bool good = text[0] != '\0' && text[0] != '-' && strlen(text) <= 32;

	for (const char *p = text; *p; p++)
		good = good && (isalnum((unsigned char)*p) || *p == '_' || *p == '-' || *p == '.');
	if (!good)
		return impossible(s, text, why);
	if (s->kind == SETTING_GROUP_NAME || s->kind == SETTING_USER_NAME)
		return put_text(s, into, text);
	assert(strlen(text) < s->size);
	memset((char *)into + s->offset, 0, s->size);
	memcpy((char *)into + s->offset, text, strlen(text));
	return 0;
}

static int store_off(const struct setting *s, void *into)
{
	if (s->kind == SETTING_PATH)
		return put_text(s, into, NULL);
	put_u32(s, into, 0);
	return 0;
}

int value_store(const struct setting *s, const char *text, void *into, char why[VALUE_WHY])
{
	if (s->off && strcmp(text, "off") == 0)
		return store_off(s, into);
	switch (s->kind) {
	case SETTING_BOOL:
		*((unsigned char *)into + s->offset) = strcmp(text, "true") == 0;
		return 0;
	case SETTING_NUMBER:
		return store_number(s, text, into, why);
	case SETTING_MS:
	case SETTING_S:
		return store_duration(s, text, into, why);
	case SETTING_WORD:
		return store_word(s, text, into, why);
	case SETTING_OCTAL:
		return store_octal(s, text, into, why);
	case SETTING_PATH:
	case SETTING_PATH_ARRAY:
		return store_path(s, text, into, why);
	case SETTING_USER_ARRAY:
	case SETTING_USER_NAME:
	case SETTING_GROUP_NAME:
		return store_user(s, text, into, why);
	case SETTING_TEXT:
	case SETTING_COMMAND:
	case SETTING_ENVIRONMENT:
	case SETTING_REPLY:
	case SETTING_LISTEN:
	case SETTING_BACKENDS:
	case SETTING_NAME:
	case SETTING_KEEPALIVE:
	case SETTING_GROUP:
	case SETTING_DEFAULTS:
	case SETTING_SERVICES:
		break;
	}
	assert(0 && "a setting that is not one text");
	return -EINVAL;
}

int value_store_defaults(const struct setting *group, void *into)
{
	char why[VALUE_WHY];

	for (const struct setting *s = group; s->name; s++) {
		int r = 0;

		if (s->kind == SETTING_GROUP || s->kind == SETTING_KEEPALIVE)
			r = value_store_defaults(s->settings, (char *)into + s->offset);
		else if (s->value && s->value[0] != '\0')
			r = value_store(s, s->value, into, why);
		assert(r != -EINVAL);
		if (r < 0)
			return r;
	}
	return 0;
}
