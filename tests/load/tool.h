/* What the load programs share as programs: their command line's numbers, the signals that they take, and the clock. */
#ifndef LOAD_TOOL_H
#define LOAD_TOOL_H
#include <signal.h>
#include <stdint.h>

/* Tells on stderr what is wrong with what, and exits 2. */
_Noreturn void fail(const char *what, const char *argument);

/* The whole text as a decimal number; fails. */
uint64_t number(const char *text);

/* Set by SIGTERM and SIGINT, by SIGUSR2 and by SIGUSR1. */
extern volatile sig_atomic_t told_to_end, told_to_hurry, asked_for_progress;

/* As many descriptors as may be; from here on the signals set these. */
void tool_start(void);

uint64_t now_us(void); /* CLOCK_MONOTONIC */
uint64_t now_ms(void);

#endif
