/* The plans of a steward: their generations, the numbers in them, and how the next steward gets what is in force. */
#include "steward/steward.h"

#include "base/clock.h"
#include "steward/log/log.h"
#include "steward/plan/build.h"
#include "steward/plan/number_use.h"
#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* The numbers of what earlier reloads removed may be given away again once nothing refers to them. A relay that has not taken the
 * plan in force yet may still begin sessions under an older one. */
void steward_free_numbers(struct steward *s, const struct ledger_view *view)
{
	struct number_use use;

	if (s->census && roster_planned(&s->roster) && number_use_collect(&use, view, s->census) == 0)
		plan_ids_sweep(s->ids, s->config, number_use_has, &use);
}

/* What sessions of a predecessor's time count for, also in services that its plan has not any more. */
void steward_reserve_numbers(struct steward *s, const struct ledger_view *view)
{
	struct number_use use;

	if (!s->census)
		return;
	number_use_collect(&use, view, s->census);
	for (uint32_t i = 0; i < CENSUS_SERVICES; i++)
		if (use.service[i])
			plan_ids_reserve(s->ids, PLAN_ID_SERVICE, i);
	for (uint32_t i = 0; i < CENSUS_BACKENDS; i++)
		if (use.backend[i])
			plan_ids_reserve(s->ids, PLAN_ID_BACKEND, i);
}

/* Relays may have taken a plan of a predecessor that was never accepted, so each steward counts from where no earlier one came
 * to. */
static uint32_t next_generation(const struct steward *s)
{
	uint32_t first = s->begin.steward_starts << 16;

	return s->generation + 1 > first ? s->generation + 1 : first;
}

static struct plan_stamp next_stamp(const struct steward *s)
{
	const struct plan_header *now = s->roster.plan.header; /* NULL: this is the first */
	struct plan_stamp stamp = {.generation = next_generation(s)};

	stamp.applied = s->change.apply ? stamp.generation : now ? now->applied : 0;
	if (now && (s->change.cause == CAUSE_NAMES || s->change.cause == CAUSE_DRAIN)) {
		stamp.loads = now->loads;
		stamp.loaded_us = now->loaded_us;
	} else {
		stamp.loads = now ? now->loads + 1 : 1;
		stamp.loaded_us = clock_real_us();
	}
	return stamp;
}

int steward_make_plan(struct steward *s, uint32_t *ret_generation)
{
	struct change *c = &s->change;
	struct plan_stamp stamp = next_stamp(s);
	int fd = plan_build(c->config, &c->drains, s->resolver, s->ids, &stamp);

	if (fd < 0)
		report_add(&c->report, "%s: no plan can be made of it: %s", c->config->file,
			fd == -ENOSPC ? "too many services or backends that were removed still have sessions (end those, or wait)"
				      : strerror(-fd));
	else
		*ret_generation = stamp.generation;
	return fd;
}

/* The config's text, for the next steward: sealed, since it is parsed without being checked again. */
static int text_memfd(const struct config *config)
{
	int r, fd = shared_create("tcpwarden-config", config->text_length);
	size_t done = 0;

	if (fd < 0)
		return fd;
	while (done < config->text_length) {
		ssize_t n = pwrite(fd, config->text + done, config->text_length - done, (off_t)done);

		if (n < 0) {
			r = -errno;
			close(fd);
			return r;
		}
		done += (size_t)n;
	}
	r = shared_seal(fd, true);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

void steward_keep_plan(struct steward *s, int plan_fd)
{
	int text_fd;

	plan_fd = fcntl(plan_fd, F_DUPFD_CLOEXEC, 0);
	text_fd = text_memfd(s->config);
	if (plan_fd >= 0 && text_fd >= 0) {
		upstream_accepted(&s->upstream, s->generation, plan_fd, text_fd);
		return;
	}
	log_line(LOG_ERR, "what is in force cannot be kept for a next steward: %s", strerror(errno));
	if (plan_fd >= 0)
		close(plan_fd);
	if (text_fd >= 0)
		close(text_fd);
}
