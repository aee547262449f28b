/* Clocks, in the units the rest of the program names.  They cannot fail on Linux. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

/* CLOCK_MONOTONIC, the clock of every deadline: clock_gettime(2). */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);

/* CLOCK_REALTIME since 1970: for people, fences and session ids, never for deadlines. */
uint64_t clock_real_us(void);

#endif
