/* Stand-ins for the steward and the pairs, to test the supervisor alone. They speak the real messages, obey a small script, the
 * "config file" (lines KEY=VALUE), and tell on stderr all that they see, one line each, for the test to read. */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H
#include <stdint.h>

void fake_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* VALUE of the last line KEY=VALUE of the file, or `otherwise`. Valid until the next call. */
const char *fake_setting(const char *path, const char *key, const char *otherwise);

/* Waits for a message or for `timeout_ms`: 1: there is one. Ends the process when the supervisor is dead. */
int fake_wait(int channel, int timeout_ms);

uint64_t fake_now_ns(void);

#endif
