#include "base/duration.h"
#include "steward/config/bounds.h"
#include "steward/config/warnings.h"
#include "wire/liveness.h"

#include <stdio.h>

/* One side of one service. */
struct view {
	const struct warnings *w;
	size_t service;
	const char *name;
	const struct side_policy *p;
};

struct words {
	char text[DURATION_TEXT];
};

static struct words words(uint64_t ms)
{
	struct words words;

	duration_say(ms, words.text);
	return words;
}

#define ADD(view, setting, ...)                                                                                                  \
	do {                                                                                                                     \
		char path_[64];                                                                                                  \
		snprintf(path_, sizeof path_, "%s.%s", (view)->name, setting);                                                   \
		warnings_add((view)->w, (view)->service, path_, __VA_ARGS__);                                                    \
	} while (0)

static void tell_keepalive(const struct view *v)
{
	const struct side_policy *p = v->p;
	uint64_t idle_ms = liveness_idle_ms(p);

	if (p->dead_after_ms && !idle_ms)
		ADD(v, "keepalive",
			"without it a dead peer that is sent nothing is never noticed, whatever dead_after says (leave keepalive "
			"out)");
	if (p->dead_after_ms && idle_ms > p->dead_after_ms)
		ADD(v, "keepalive",
			"an idle dead peer is noticed after %s only, and not after dead_after, %s (shorter, or left out)",
			words(idle_ms).text, words(p->dead_after_ms).text);
	else if (idle_ms && liveness_write_ms(p) > p->dead_after_ms * 11ull / 10 + 1000)
		ADD(v, "keepalive.idle",
			"a peer that dies idle, and is written to before it is asked, is noticed after %s only, and not after "
			"dead_after, "
			"%s (shorter, or left out)",
			words(liveness_write_ms(p)).text, words(p->dead_after_ms).text);
	if (idle_ms && p->keepalive_count == 1 && !p->user_timeout_ms)
		ADD(v, "keepalive.count", "one lost probe ends the connection of an idle peer that lives (2 or more)");
}

/* With TCP_USER_TIMEOUT the kernel does not count probes (bound_idle). */
static void tell_user_timeout(const struct view *v)
{
	const struct side_policy *p = v->p;
	uint64_t step_ms = p->keepalive_interval_s * 1000ull, most_ms = liveness_idle_ms(p), found_ms;

	if (!p->user_timeout_ms)
		return;
	ADD(v, "user_timeout",
		"it also ends the connection of a peer that lives but does not read (left out, dead_after tells them apart)");
	if (!most_ms)
		return;
	found_ms = bound_idle(p, v->w->kernel).ms;
	if (p->keepalive_count > 1 && found_ms < most_ms)
		ADD(v, "user_timeout",
			"it stands in the place of keepalive.count, %u: %llu lost probe%s the connection of an idle peer that "
			"lives (more "
			"than %s, up to %s)",
			p->keepalive_count, (unsigned long long)((found_ms - p->keepalive_idle_s * 1000ull) / step_ms),
			found_ms == p->keepalive_idle_s * 1000ull + step_ms ? " ends" : "s end", words(most_ms - step_ms).text,
			words(most_ms).text);
	else if (found_ms > most_ms)
		ADD(v, "user_timeout",
			"it stands in the place of keepalive.count, %u: an idle dead peer is noticed after %s, and not after %s "
			"(up to %s)",
			p->keepalive_count, words(found_ms).text, words(most_ms).text, words(most_ms).text);
}

static void tell_retries(const struct view *v)
{
	struct kernel enough = *v->w->kernel;

	if (!v->p->dead_after_ms || bounds_retries_ms(v->p, &enough) >= v->p->dead_after_ms)
		return;
	while (bounds_retries_ms(v->p, &enough) < v->p->dead_after_ms)
		enough.retries2++;
	ADD(v, "dead_after",
		"this kernel gives up a peer that does not answer after %s already (net.ipv4.tcp_retries2 is %u, for %s at least "
		"%u)",
		words(bounds_retries_ms(v->p, v->w->kernel)).text, v->w->kernel->retries2, words(v->p->dead_after_ms).text,
		enough.retries2);
}

static void tell_side(const struct view *v)
{
	const struct side_policy *p = v->p;
	const uint64_t syn_ms = bounds_syn_ms(v->w->kernel);

	tell_keepalive(v);
	tell_user_timeout(v);
	tell_retries(v);
	if (p->stall_after_ms && !p->dead_after_ms)
		ADD(v, "stall_after",
			"without dead_after a dead peer for which bytes wait is taken for a stalled one (set dead_after)");
	if (p->user_timeout_ms && p->connect_timeout_ms > p->user_timeout_ms)
		ADD(v, "connect_timeout", "never reached: user_timeout, %s, comes first (shorter, or without user_timeout)",
			words(p->user_timeout_ms).text);
	else if (p->connect_timeout_ms > syn_ms)
		ADD(v, "connect_timeout",
			"never reached: this kernel gives up after %s (shorter; net.ipv4.tcp_syn_retries is %u)",
			words(syn_ms).text, v->w->kernel->syn_retries);
}

static void tell_never(
	const struct warnings *w, size_t service, const char *setting, uint32_t ms, const char *first, uint32_t first_ms)
{
	if (first_ms && ms >= first_ms)
		warnings_add(w, service, setting, "never reached: %s, %s, comes first (shorter, or left out)", first,
			words(first_ms).text);
}

void warnings_tell_times(const struct warnings *w, size_t service)
{
	static const char *const names[SIDES] = {"client", "backend"};
	const struct service_config *s = &w->config->services[service];
	const struct policy *p = &s->policy;

	for (enum side side = SIDE_CLIENT; side <= SIDE_BACKEND; side++)
		if (service_has_tcp(s, side))
			tell_side(&(struct view){w, service, names[side], &p->side[side]});
	/* They count from the last byte, lifetime from the start; half_close_timeout is the one named when both are due. */
	tell_never(w, service, "idle_timeout", p->idle_timeout_ms, "lifetime", p->lifetime_ms);
	if (p->idle_timeout_ms && p->idle_timeout_ms < p->half_close_timeout_ms)
		tell_never(w, service, "half_close_timeout", p->half_close_timeout_ms, "idle_timeout", p->idle_timeout_ms);
	else
		tell_never(w, service, "half_close_timeout", p->half_close_timeout_ms, "lifetime", p->lifetime_ms);
}
