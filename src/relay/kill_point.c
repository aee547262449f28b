#include "relay/kill_point.h"

#ifdef KILL_POINTS
#include "base/clock.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static unsigned kill_one_in;
static uint64_t state;

void kill_point_arm(unsigned one_in)
{
	kill_one_in = one_in;
	state = clock_mono_ns() * 0x9e3779b97f4a7c15u | 1;
}

void kill_point(void)
{
	if (!kill_one_in)
		return;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	if ((state >> 20) % kill_one_in == 0) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause();
	}
}
#else
typedef int kill_point_is_off; /* ISO C wants a declaration */
#endif
