#include "steward/config/syntax.h"

#include "steward/config/token.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEEPEST = 32, SHOWN = 72, NAMES = 64, SETTINGS_MAX = 256, ELEMENTS_MAX = 5000 };

/* Names seen in one group, for the sake of a duplicate. They live on the stack of the walk; no group has more settings than
 * fit. */
struct seen {
	struct token names[NAMES];
	size_t count;
};

/* A walk over the text by libconfig's grammar, which stops at the first thing that does not fit. */
struct walk {
	const char *text;
	size_t length;
	struct scanner scanner;
	struct token now, before;
	struct token name;   /* the setting it is in */
	struct token spread; /* the first string with a line end in it: most likely a forgotten quote */
	unsigned depth;
	bool failed;
	bool too_many; /* and that is why */
	struct syntax_fault *fault;
};

/* The line, trimmed, with what is not printable left out. */
static void show_line(const struct walk *w, unsigned line, char shown[SHOWN + 4])
{
	const char *p = w->text, *end = w->text + w->length;
	size_t used = 0;

	for (unsigned i = 1; i < line && p < end; p++)
		i += *p == '\n';
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (; p < end && *p != '\n'; p++) {
		if (used == SHOWN) {
			memcpy(shown + used, "...", 3);
			used += 3;
			break;
		}
		if (*p == '\t')
			shown[used++] = ' ';
		else if (isprint((unsigned char)*p))
			shown[used++] = *p;
	}
	while (used > 0 && shown[used - 1] == ' ')
		used--;
	shown[used] = '\0';
}

static __attribute__((format(printf, 4, 5))) void fail(
	struct walk *w, unsigned line, const struct token *name, const char *format, ...)
{
	char shown[SHOWN + 4], why[SYNTAX_WHAT - SHOWN - 100];
	va_list arguments;

	if (w->failed)
		return;
	w->failed = true;
	va_start(arguments, format);
	vsnprintf(why, sizeof why, format, arguments);
	va_end(arguments);
	show_line(w, line, shown);
	w->fault->line = line;
	if (name && name->length)
		snprintf(w->fault->what, sizeof w->fault->what, "%.*s: %s, in: %s", (int)(name->length < 64 ? name->length : 64),
			name->start, why, shown);
	else
		snprintf(w->fault->what, sizeof w->fault->what, "syntax: %s, in: %s", why, shown);
}

static int shown_length(const struct token *token)
{
	return (int)(token->length < SHOWN ? token->length : SHOWN);
}

static void next(struct walk *w)
{
	w->before = w->now;
	w->now = scanner_next(&w->scanner);
	if (w->now.kind == TOKEN_STRING && w->now.lines && !w->spread.length)
		w->spread = w->now;
	if (w->now.kind == TOKEN_UNCLOSED_STRING)
		fail(w, w->spread.length ? w->spread.line : w->now.line, &w->name, "a text is not closed (it ends with \")");
	if (w->now.kind == TOKEN_UNCLOSED_COMMENT)
		fail(w, w->now.line, NULL, "a comment is not closed (it ends with */)");
}

static bool is(const struct walk *w, char mark)
{
	return w->now.kind == TOKEN_MARK && *w->now.start == mark;
}

static bool is_word(const struct token *token, const char *word)
{
	return token->length == strlen(word) && strncasecmp(token->start, word, token->length) == 0;
}

static void value(struct walk *w, bool scalar);

/* The walk is lost at what it sees now. A text that spans lines before is a likelier cause than anything here. */
static bool lost(struct walk *w)
{
	if (!w->failed && w->spread.length)
		fail(w, w->spread.line, NULL, "a text goes on over the end of its line (a \" is missing)");
	return w->failed;
}

static void lost_value(struct walk *w)
{
	const struct token *t = &w->now;

	if (lost(w))
		return;
	if (t->kind == TOKEN_GLUED)
		fail(w, t->line, &w->name, "%.*s is no value (texts, durations and addresses stand in quotes: \"%.*s\")",
			shown_length(t), t->start, shown_length(t), t->start);
	else if (t->kind == TOKEN_QUOTED)
		fail(w, t->line, &w->name, "a text in single quotes (double quotes: \"%.*s\")", shown_length(t) - 2,
			t->start + 1);
	else if (t->kind == TOKEN_NAME && (is_word(t, "yes") || is_word(t, "on")))
		fail(w, t->line, &w->name, "%.*s is no value (true)", shown_length(t), t->start);
	else if (t->kind == TOKEN_NAME && (is_word(t, "no") || is_word(t, "none")))
		fail(w, t->line, &w->name, "%.*s is no value (false)", shown_length(t), t->start);
	else if (t->kind == TOKEN_NAME || is(w, '/'))
		fail(w, t->line, &w->name, "a text without quotes (texts stand in double quotes, as in linger = \"deliver\")");
	else if (t->kind == TOKEN_END)
		fail(w, w->before.line, &w->name, "the text ends where a value should be (is the file whole?)");
	else
		fail(w, w->before.line, &w->name, "no value (something = VALUE;)");
}

/* After a value, or at the start of a setting, something came that is neither the next nor the end. */
static void lost_setting(struct walk *w, const char *closing, unsigned opened)
{
	const struct token *t = &w->now;

	if (lost(w))
		return;
	if (t->kind == TOKEN_END)
		fail(w, opened, NULL, "what is opened here is never closed (a %s is missing)", closing);
	else if (is(w, ';') || is(w, ','))
		fail(w, t->line, NULL, "a \"%c\" too many (take it out)", *t->start);
	else if ((is(w, '}') || is(w, ')') || is(w, ']')) && *closing)
		fail(w, t->line, NULL, "a \"%c\" while the group that line %u opens is not closed (a %s is missing)", *t->start,
			opened, closing);
	else if (is(w, '}') || is(w, ')') || is(w, ']'))
		fail(w, t->line, NULL, "a \"%c\" that closes nothing (take it out)", *t->start);
	else if (t->kind == TOKEN_STRING || t->kind == TOKEN_NUMBER || t->kind == TOKEN_GLUED || t->kind == TOKEN_QUOTED)
		fail(w, t->line, NULL, "a value that belongs to no setting (name = value;)");
	else if (is(w, '{') || is(w, '(') || is(w, '['))
		fail(w, t->line, NULL, "a \"%c\" that belongs to no setting (name = %c ...)", *t->start, *t->start);
	else
		fail(w, t->line, NULL, "\"%.*s\" cannot stand here (name = value;)", shown_length(t), t->start);
}

/* libconfig looks at all settings of a group for each new one, and so do the readers for elements of lists: what has far more of
 * them than makes sense is never shown to it, or a steward that is given the wrong file would seem to hang. */
static void too_many(struct walk *w, unsigned line, const char *of_what, int most)
{
	fail(w, line, NULL, "more than %d %s (is this a config of tcpwarden?)", most, of_what);
	w->too_many = true;
}

static void note_name(struct walk *w, struct seen *seen)
{
	const struct token *name = &w->now;

	for (size_t i = 0; i < seen->count; i++)
		if (seen->names[i].length == name->length && memcmp(seen->names[i].start, name->start, name->length) == 0)
			fail(w, name->line, name, "stands twice in its group (keep one; the first is in line %u)",
				seen->names[i].line);
	if (seen->count < NAMES)
		seen->names[seen->count++] = *name;
}

static void setting(struct walk *w, struct seen *seen)
{
	struct token name = w->now;

	note_name(w, seen);
	w->name = name;
	next(w);
	if (!is(w, '=') && !is(w, ':')) {
		if (!lost(w))
			fail(w, name.line, &name, "no \"=\" after the name (%.*s = ...;)", shown_length(&name), name.start);
		return;
	}
	next(w);
	value(w, false);
	if (w->failed)
		return;
	if (is(w, ';') || is(w, ','))
		next(w);
	w->name.length = 0;
}

static void settings(struct walk *w, const char *closing, unsigned opened)
{
	struct seen seen = {.count = 0};
	unsigned count = 0;

	while (!w->failed && !(*closing ? is(w, *closing) : w->now.kind == TOKEN_END)) {
		if (++count > SETTINGS_MAX)
			too_many(w, opened, "settings in one group", SETTINGS_MAX);
		else if (w->now.kind == TOKEN_NAME)
			setting(w, &seen);
		else
			lost_setting(w, closing, opened);
	}
}

/* What follows the token now is a setting: where a list should go on, it was not closed. */
static bool setting_follows(const struct walk *w)
{
	struct scanner ahead = w->scanner;
	enum token_kind kind = scanner_next(&ahead).kind;

	return kind == TOKEN_NAME || kind == TOKEN_END;
}

static void elements(struct walk *w, const char *closing, bool scalar, unsigned opened)
{
	struct token name = w->name;

	if (is(w, *closing))
		return;
	for (unsigned count = 1;; count++) {
		if (count > ELEMENTS_MAX) {
			too_many(w, opened, "elements in one list", ELEMENTS_MAX);
			return;
		}
		w->name = name;
		value(w, scalar);
		if (w->failed || is(w, *closing))
			return;
		if (!is(w, ',')) {
			if (lost(w))
				return;
			if (is(w, ';') && !setting_follows(w))
				fail(w, w->now.line, &name, "a \";\" in a list (its elements are parted by \",\")");
			else if (w->now.kind == TOKEN_END || w->now.kind == TOKEN_NAME || is(w, '=') || is(w, ';') ||
				 is(w, '}') || is(w, ')') || is(w, ']'))
				fail(w, w->now.line, &name, "the list that begins in line %u is not closed (a %s is missing)",
					opened, closing);
			else
				fail(w, w->now.line, &name, "no \",\" between the elements of a list (put one before this)");
			return;
		}
		next(w);
		if (is(w, *closing)) {
			fail(w, w->before.line, &name, "a \",\" after the last element of a list (take it out)");
			return;
		}
	}
}

/* A group, array or list whose opening mark is the token now. */
static void aggregate(struct walk *w, bool scalar)
{
	char open = *w->now.start;
	unsigned opened = w->now.line;
	const char *closing = open == '{' ? "}" : open == '[' ? "]" : ")";

	if (scalar) {
		fail(w, opened, &w->name, "groups and lists cannot stand in [ ] (use ( ))");
		return;
	}
	if (++w->depth > DEEPEST) {
		fail(w, opened, NULL, "groups and lists are nested too deep (no setting is deeper than five)");
		return;
	}
	next(w);
	if (open == '{')
		settings(w, closing, opened);
	else
		elements(w, closing, open == '[', opened);
	w->depth--;
	if (!w->failed)
		next(w);
}

static void value(struct walk *w, bool scalar)
{
	if (w->failed)
		return;
	if (is(w, '{') || is(w, '[') || is(w, '(')) {
		aggregate(w, scalar);
	} else if (w->now.kind == TOKEN_STRING) {
		/* Strings side by side are one string. */
		while (w->now.kind == TOKEN_STRING && !w->failed)
			next(w);
	} else if (w->now.kind == TOKEN_NUMBER ||
		   (w->now.kind == TOKEN_NAME && (is_word(&w->now, "true") || is_word(&w->now, "false")))) {
		next(w);
	} else {
		lost_value(w);
	}
}

static void walk(struct walk *w)
{
	scanner_init(&w->scanner, w->text, w->length);
	next(w);
	settings(w, "", 1);
}

void syntax_guess(const char *text, size_t length, unsigned line, const char *message, struct syntax_fault *ret)
{
	struct walk w = {.text = text, .length = length, .fault = ret};

	walk(&w);
	/* What this walk allows and libconfig does not: its own words. */
	if (strstr(message, "mismatched element type"))
		fail(&w, line, NULL, "elements of different kinds in [ ] (use ( ) for those)");
	fail(&w, line, NULL, "libconfig says: %s (see the examples in tcpwarden.conf(5))", message);
}

/* libconfig keeps the lower 32 bits of what has no L behind it. */
static bool too_large(const struct token *token)
{
	char digits[32];
	unsigned long long number;

	if (token->length >= sizeof digits)
		return true;
	memcpy(digits, token->start, token->length);
	digits[token->length] = '\0';
	if (digits[strcspn(digits, ".L")] != '\0' || (digits[strcspn(digits, "eE")] != '\0' && !strpbrk(digits, "xX")))
		return false;
	number = strtoull(digits + (digits[0] == '-' || digits[0] == '+'), NULL, strpbrk(digits, "xX") ? 16 : 10);
	return number > INT32_MAX;
}

bool syntax_trap(const char *text, size_t length, struct syntax_fault *ret)
{
	struct walk w = {.text = text, .length = length, .fault = ret};
	const char *zero = memchr(text, '\0', length);
	unsigned line = 1;

	if (zero) {
		for (const char *p = text; p < zero; p++)
			line += *p == '\n';
		fail(&w, line, NULL, "a zero byte (is this a text file?)");
		return true;
	}
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		fail(&w, 1, NULL, "a byte order mark at the start of the file (save it as UTF-8 without one)");
		return true;
	}
	scanner_init(&w.scanner, text, length);
	/* libconfig takes the end of the file for the end of a comment, and of a text. */
	do {
		w.now = scanner_next(&w.scanner);
		if (w.now.kind == TOKEN_INCLUDE)
			fail(&w, w.now.line, NULL, "@include is not taken (a config is one file; put the settings here)");
		else if (w.now.kind == TOKEN_NUMBER && too_large(&w.now))
			fail(&w, w.now.line, NULL, "%.*s is too large for any setting (durations and texts stand in quotes)",
				shown_length(&w.now), w.now.start);
	} while (w.now.kind != TOKEN_END && w.now.kind != TOKEN_UNCLOSED_STRING && w.now.kind != TOKEN_UNCLOSED_COMMENT &&
		 !w.failed);
	if (!w.failed && w.now.kind != TOKEN_END) {
		syntax_guess(text, length, w.now.line, "not closed", ret);
		return true;
	}
	if (w.failed)
		return true;
	/* libconfig loses the memory of a text that stands where none may stand: it must not see one. */
	w = (struct walk){.text = text, .length = length, .fault = ret};
	walk(&w);
	return w.failed && (w.too_many || w.now.kind == TOKEN_STRING);
}
