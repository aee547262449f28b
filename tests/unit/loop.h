/* Turns a libuv loop until something is so, or a deadline has passed: unit tests wait for facts. */
#ifndef TESTS_UNIT_LOOP_H
#define TESTS_UNIT_LOOP_H
#include "steward/log/log.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>
#include <uv.h>

enum { LOOP_DEADLINE_MS = 10000 };

/* What the code under test logs is not part of the test's own output. */
static inline void log_to_nowhere(void)
{
	int saved = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(nowhere, STDERR_FILENO);
	log_open();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(nowhere);
}

static inline void loop_nothing(uv_timer_t *timer)
{
	(void)timer;
}

#define LOOP_UNTIL(loop, condition)                                                                                              \
	do {                                                                                                                     \
		uv_timer_t loop_timer;                                                                                           \
		uint64_t loop_end;                                                                                               \
		bool loop_done;                                                                                                  \
		uv_timer_init((loop), &loop_timer);                                                                              \
		uv_timer_start(&loop_timer, loop_nothing, 5, 5);                                                                 \
		uv_update_time(loop);                                                                                            \
		loop_end = uv_now(loop) + LOOP_DEADLINE_MS;                                                                      \
		while (!(loop_done = (condition)) && uv_now(loop) < loop_end)                                                    \
			uv_run((loop), UV_RUN_ONCE);                                                                             \
		uv_close((uv_handle_t *)&loop_timer, NULL);                                                                      \
		uv_run((loop), UV_RUN_NOWAIT);                                                                                   \
		assert_true(loop_done);                                                                                          \
	} while (0)

#endif
