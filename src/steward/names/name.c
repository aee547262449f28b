#include "steward/names/name.h"

#include "base/endpoint.h"
#include "steward/log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

struct name *name_new(struct resolver *resolver, const struct address *address)
{
	struct name *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->resolver = resolver;
	n->address = *address;
	return n;
}

void name_free(struct name *n)
{
	free(n->addresses);
	free(n);
}

bool name_changes(const struct name *n)
{
	return n->named || !n->answered || n->failing;
}

static bool same_address(const struct plan_address *a, const struct plan_address *b)
{
	return a->length == b->length && memcmp(&a->to, &b->to, a->length) == 0;
}

bool name_among(const struct plan_address *one, const struct plan_address *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (same_address(one, &list[i]))
			return true;
	return false;
}

static void say_addresses(const struct name *n)
{
	char text[ENDPOINT_TEXT], all[4 * ENDPOINT_TEXT] = "";
	size_t used = 0, shown = 0;

	for (; shown < n->count && used + sizeof text + 8 < sizeof all; shown++) {
		struct endpoint e;
		endpoint_from_sockaddr(&e, &n->addresses[shown].to);
		endpoint_format(&e, text);
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", shown ? ", " : "", text);
	}
	log_line(LOG_INFO, "backend %s: resolves to %s%s", n->address.text, all, shown < n->count ? ", ..." : "");
}

static bool merge(struct name *n, const struct plan_address *found, size_t found_count)
{
	struct plan_address *merged = calloc(found_count + 1, sizeof *merged);
	size_t count = 0, kept;

	if (!merged) {
		log_line(LOG_ERR, "backend %s: no memory for its addresses; the last ones stay in use", n->address.text);
		return false;
	}
	for (size_t i = 0; i < n->count; i++)
		if (name_among(&n->addresses[i], found, found_count))
			merged[count++] = n->addresses[i];
	kept = count;
	for (size_t i = 0; i < found_count; i++)
		if (!name_among(&found[i], merged, count))
			merged[count++] = found[i];
	if (kept == n->count && count == kept) {
		free(merged);
		return false;
	}
	free(n->addresses);
	n->addresses = merged;
	n->count = count;
	n->unread = true;
	if (n->named)
		say_addresses(n);
	return true;
}

void name_fail(struct name *n, const char *why)
{
	if (n->failing)
		return;
	n->failing = true;
	log_line(LOG_WARNING, "backend %s: cannot be resolved: %s (%s)", n->address.text, why,
		n->count ? "its last addresses stay in use" : "it gets no sessions until it can");
}

bool name_take(struct name *n, const struct plan_address *found, size_t count)
{
	n->answered = true;
	if (!count)
		return false;
	if (n->failing)
		log_line(LOG_NOTICE, "backend %s: resolves again", n->address.text);
	n->failing = false;
	return merge(n, found, count);
}
