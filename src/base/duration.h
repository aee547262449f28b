/* Durations as people write them: a whole number and its unit, "500ms", "20s", "15m", "2h", "1d". */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H
#include <stdint.h>

/* 0 and *ret_ms; -EDOM: a number without a unit; -ERANGE: more than 64 bits of milliseconds; -EINVAL: anything else. */
int duration_parse(const char *text, uint64_t *ret_ms);

enum { DURATION_TEXT = 48 };

/* The shortest exact form: 90000 is "90s", 120000 is "2m", 0 is "0s". */
void duration_format(uint64_t ms, char text[DURATION_TEXT]);

/* As one says it, rounded up: "3.6 s", "60 s", "15 m 25 s", "2 h 1 m", "24 d". 0 is "0 s". */
void duration_say(uint64_t ms, char text[DURATION_TEXT]);

/* Of a time that passes, rounded down, and no finer than it is worth: "0.4 s", "42 s", "2 m 5 s", "5 m", "3 h", "14 d". */
void duration_say_passed(uint64_t ms, char text[DURATION_TEXT]);

#endif
