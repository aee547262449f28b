#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

volatile sig_atomic_t told_to_end, told_to_hurry, asked_for_progress;

void fail(const char *what, const char *argument)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, argument);
	exit(2);
}

uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end || end == text)
		fail("not a number", text);
	return n;
}

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		asked_for_progress = 1;
	else if (signal == SIGUSR2)
		told_to_hurry = 1;
	else
		told_to_end = 1;
}

void tool_start(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	struct sigaction action = {.sa_handler = on_signal};
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, NULL);
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t now_ms(void)
{
	return now_us() / 1000;
}
