/* A ledger with noise in it, as the steward reads it: its events go to the log, its sessions to who asks for them, and at last it
 * is lost. Nothing is read beyond its end, every text has an end, and none of it takes for ever. */
#include "steward_world.h"

#include "steward/control/client.h"
#include "steward/plan/number_use.h"
#include "wire/census_clients.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The highest number of events that there is, once an endless loop: eight bytes of ones in the header. */
static const uint8_t far_ahead[] = {
	0, 0, offsetof(struct ledger_header, events_made) & 0xff, offsetof(struct ledger_header, events_made) >> 8, 7 << 3 | 5};

static const struct fuzz_seed seeds[] = {{(const char *)far_ahead, sizeof far_ahead}, {0}};
const struct fuzz_target fuzz_target = {.runs = 2000, .size_max = 300, .seeds = seeds};

static const int32_t numbers[] = {
	-1, 0, 1, 2, 3, SLOT_STATES, WHO_COUNT, HOW_COUNT, OPERATION_COUNT, OVERLAY_SLOTS, LEDGER_EVENTS, INT32_MAX, INT32_MIN};

/* Each line of the answer is an object. */
static void hear(int client)
{
	static char text[1 << 18];
	size_t used = 0;
	ssize_t n;

	while ((n = recv(client, text + used, sizeof text - used, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	FUZZ_MUST(used > 0 && text[used - 1] == '\n');
	for (char *line = text, *end; line < text + used; line = end + 1) {
		json_t *object;

		end = memchr(line, '\n', (size_t)(text + used - line));
		object = json_loadb(line, (size_t)(end - line), 0, NULL);
		FUZZ_MUST(json_is_object(object));
		json_decref(object);
	}
}

static void ask(struct steward_world *w, const char *request, uint64_t id)
{
	char line[128];
	int fds[2], n = snprintf(line, sizeof line, "{\"request\":\"%s\",\"id\":\"%llx\"}\n", request, (unsigned long long)id);

	FUZZ_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	FUZZ_MUST(control_serve(w->control, fds[1]) && send(fds[0], line, (size_t)n, 0) == n);
	steward_world_turn(w);
	hear(fds[0]);
	close(fds[0]);
	steward_world_turn(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct number_use use;
	static struct census *census;
	static struct census_clients clients;
	struct fuzz_input in = {bytes, size};
	struct overlay *overlay = steward_world_overlay();
	struct steward_world w;
	struct ledger_view view;

	if (!census) {
		int fd = census_create(7, OVERLAY_SLOTS);

		FUZZ_MUST(fd >= 0 && (census = census_map(fd, &clients)) != NULL);
	}
	overlay_apply(overlay, &(struct fuzz_input){0}, NULL, 0);
	steward_world_open(&w, overlay, true);
	overlay_apply(overlay, &in, numbers, sizeof numbers / sizeof numbers[0]);
	roster_tick(&w.roster);
	ask(&w, "sessions", 0);
	ask(&w, "status", 0);
	for (uint32_t i = 0; i < 3; i++)
		ask(&w, "show", overlay->ledger.slots[i].record.id);
	ask(&w, "kill", overlay->ledger.slots[0].record.id);
	roster_view(&w.roster, &view);
	number_use_collect(&use, &view, census);
	roster_lose(&w.roster, &(struct message_pair){OVERLAY_RELAY, 1});
	steward_world_close(&w);
	return 0;
}
