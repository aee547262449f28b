#include "fake.h"

#include "wire/inherit.h"
#include "wire/message.h"
#include "wire/shared.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *config;

static uint32_t number(const char *key, const char *otherwise)
{
	return (uint32_t)strtoul(fake_setting(config, key, otherwise), NULL, 10);
}

static void say_settings(void)
{
	struct message_settings s = {0};

	snprintf(s.state_directory, sizeof s.state_directory, "%s", fake_setting(config, "state_directory", "/nonexistent"));
	snprintf(s.user_relay, sizeof s.user_relay, "%s", fake_setting(config, "user_relay", "tcpwarden-relay"));
	snprintf(s.user_status, sizeof s.user_status, "tcpwarden-status");
	s.workers = number("workers", "1");
	s.hang_after_ms = number("hang_after_ms", "10000");
	s.shutdown_timeout_ms = number("shutdown_timeout_ms", "1000");
	s.orphan_timeout_ms = 1000;
	s.upgrade_timeout_ms = 5000;
	message_send(INHERIT_SUPERVISOR, MESSAGE_SETTINGS, &s, NULL);
}

static void say_accepted(uint32_t generation)
{
	struct message_generation body = {generation};
	int fds[2] = {shared_create("plan", 4096), shared_create("config", 4096)};

	if (pwrite(fds[0], &generation, sizeof generation, 0) < 0)
		_exit(1);
	message_send(INHERIT_SUPERVISOR, MESSAGE_ACCEPTED, &body, fds);
	close(fds[0]);
	close(fds[1]);
}

/* Ambient capabilities, user, and what is open: what the test wants to know of a start. */
static void say_self(int resume)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	fake_say("steward %d: start resume=%d uid=%d notify=%s", (int)getpid(), resume, (int)getuid(),
		getenv("NOTIFY_SOCKET") || getenv("LISTEN_FDS") ? "leaked" : "none");
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "Cap", 3) == 0)
			fake_say("steward %s", line);
	}
	if (f)
		fclose(f);
	for (int fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			fake_say("steward has descriptor %d", fd);
}

int main(int argc, char **argv)
{
	struct pulse *pulse;
	uint32_t pairs = 0, workers = 0, generation = 0;
	int resume = argc > 3 && strcmp(argv[3], "--resume") == 0, ready = 0;

	if (argc < 3)
		return 64;
	config = argv[2];
	if (strcmp(argv[1], "--check") == 0 || strcmp(argv[1], "--explain") == 0) {
		fake_say("steward: %s %s%s%s", argv[1] + 2, config, argv[3] ? " " : "", argv[3] ? argv[3] : "");
		return (int)number("check", "0");
	}
	say_self(resume);
	if (number("exit", "0") && !resume)
		return (int)number("exit", "0");
	pulse = mmap(NULL, sizeof *pulse, PROT_READ | PROT_WRITE, MAP_SHARED, STEWARD_PULSE, 0);
	if (pulse == MAP_FAILED)
		return 1;
	if (!resume)
		say_settings();
	for (;;) {
		struct message m;

		pulse->beat_ns = fake_now_ns();
		if (!fake_wait(INHERIT_SUPERVISOR, 100))
			continue;
		if (message_receive(INHERIT_SUPERVISOR, &m, ~(message_set)0) < 0)
			return 1;
		switch ((int)m.header.kind) {
		case MESSAGE_RESUME:
			if (pread(m.fds[0], &generation, sizeof generation, 0) < 0)
				return 1;
			fake_say("steward: RESUME %u holds %u", m.body.generation.generation, generation);
			say_settings();
			break;
		case MESSAGE_INHERITED:
			fake_say("steward: INHERITED %s", m.body.text.text);
			break;
		case MESSAGE_BEGIN:
			workers = m.body.begin.workers;
			fake_say("steward: BEGIN workers=%u first=%u separated=%u starts=%u", workers, m.body.begin.first,
				m.body.begin.separated, m.body.begin.steward_starts);
			break;
		case MESSAGE_PAIR:
			pairs++;
			fake_say("steward: PAIR %u.%u readonly=%d", m.body.pair.relay, m.body.pair.incarnation,
				(fcntl(m.fds[0], F_GETFL) & O_ACCMODE) == O_RDONLY);
			break;
		case MESSAGE_PAIR_LOST:
			fake_say("steward: PAIR_LOST %u.%u", m.body.pair.relay, m.body.pair.incarnation);
			break;
		case MESSAGE_PAIRS:
			fake_say("steward: PAIRS %llx", (unsigned long long)m.body.pairs.present);
			break;
		case MESSAGE_RELOAD: {
			struct message_outcome outcome = {.error = 0};

			fake_say("steward: RELOAD");
			if (number("reload_dies", "0") && !resume)
				abort();
			if (number("reload_hangs", "0"))
				break;
			snprintf(outcome.text, sizeof outcome.text, "reloaded");
			say_accepted(++generation);
			say_settings();
			message_send(INHERIT_SUPERVISOR, MESSAGE_RELOADED, &outcome, NULL);
			break;
		}
		case MESSAGE_STOP:
			fake_say("steward: STOP in %lld ms",
				(long long)m.body.deadline.deadline_ms - (long long)(fake_now_ns() / 1000000));
			if (number("stop_hangs", "0"))
				break;
			if (number("stop_dies", "0") && !resume)
				abort();
			message_send(INHERIT_SUPERVISOR, MESSAGE_STOPPED, NULL, NULL);
			break;
		default:
			fake_say("steward: unexpected %s", message_name(m.header.kind));
		}
		message_close_fds(&m);
		if (workers && pairs >= workers && !ready) {
			struct message_outcome status = {.text = "serving"};

			if (number("never_ready", "0"))
				return 1;
			if (!resume)
				say_accepted(++generation);
			ready = 1;
			pulse->ready = 1;
			message_send(INHERIT_SUPERVISOR, MESSAGE_READY, NULL, NULL);
			message_send(INHERIT_SUPERVISOR, MESSAGE_STATUS, &status, NULL);
			if (number("misbehave", "0") && !resume)
				message_send(INHERIT_SUPERVISOR, MESSAGE_DRAIN, NULL, NULL);
		}
	}
}
