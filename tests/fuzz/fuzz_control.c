/* Any bytes to the control socket, in pieces: each whole line is answered by objects, one a line, and nothing stays behind. */
#include "steward_world.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct fuzz_seed seeds[] = {
	FUZZ_SEED("\xff{\"request\":\"status\"}\n"),
	FUZZ_SEED("\xff{\"request\":\"sessions\",\"service\":\"plc\"}\n{\"request\":\"sessions\"}\n"),
	FUZZ_SEED("\xff{\"request\":\"show\",\"id\":\"1f\"}\n{\"request\":\"kill\",\"id\":\"1f\",\"now\":true}\n"),
	FUZZ_SEED("\xff{\"request\":\"probe\",\"id\":\"ffffffffffffffff\"}\n"),
	FUZZ_SEED("\xff{\"request\":\"reload\"}\n{\"request\":\"leases\",\"history\":3,\"client\":\"192.0.2.7\"}\n"),
	FUZZ_SEED("\xff{\"request\":\"drain\",\"what\":\"plc/127.0.0.1:502\"}\n{\"request\":\"reload\",\"apply\":true}\n"),
	FUZZ_SEED("\xff{\"request\":\"release\",\"id\":\"1f\"}\n{\"request\":1}\n[]\n\"\"\n{\"request\":\"status\",\"request\":"
		  "\"kill\"}\n"),
	{0},
};
const struct fuzz_target fuzz_target = {.runs = 4000, .size_max = 6000, .seeds = seeds};

static size_t hear(int client)
{
	static char text[1 << 20];
	size_t used = 0, lines = 0;
	ssize_t n;

	while (used < sizeof text && (n = recv(client, text + used, sizeof text - used, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	FUZZ_MUST(used == 0 || text[used - 1] == '\n');
	for (char *line = text, *end; line < text + used; line = end + 1, lines++) {
		json_t *object;

		end = memchr(line, '\n', (size_t)(text + used - line));
		object = json_loadb(line, (size_t)(end - line), 0, NULL);
		FUZZ_MUST(json_is_object(object));
		json_decref(object);
	}
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = {bytes, size};
	struct overlay *overlay = steward_world_overlay();
	size_t piece = (size_t)fuzz_take(&in, 1), lines = 0, answers = 0, length = 0;
	bool too_long = false;
	struct steward_world w;
	int fds[2];

	for (size_t i = 0; i < in.left && !too_long; i++) {
		bool end = in.at[i] == '\n';

		lines += end;
		length = end ? 0 : length + 1;
		too_long = length >= CONTROL_LINE_MAX;
	}
	overlay_apply(overlay, &(struct fuzz_input){0}, NULL, 0);
	steward_world_open(&w, overlay, true);
	FUZZ_MUST(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0 && control_serve(w.control, fds[1]));
	while (in.left) {
		size_t n = piece == 0xff || piece >= in.left ? in.left : piece + 1;
		ssize_t sent = send(fds[0], in.at, n, MSG_NOSIGNAL);

		steward_world_turn(&w);
		answers += hear(fds[0]);
		if (sent < 0) /* it was closed */
			break;
		in.at += sent;
		in.left -= (size_t)sent;
	}
	shutdown(fds[0], SHUT_WR);
	for (size_t i = 0; i < lines && answers < lines; i++) {
		steward_world_turn(&w);
		answers += hear(fds[0]);
	}
	/* Only a probe may keep the ones behind it waiting; none of these sessions has a socket that could be asked. A line that
	 * is too long is answered, and the last. */
	FUZZ_MUST(answers >= lines + too_long);
	close(fds[0]);
	steward_world_turn(&w);
	steward_world_close(&w);
	return 0;
}
