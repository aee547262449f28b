/* The bytes of a test stream: each is known from the stream's key and its position alone, so that a receiver can check
 * any byte without a copy of what was sent, and a byte lost, doubled or of another stream is seen at its place. */
#ifndef LOAD_PATTERN_H
#define LOAD_PATTERN_H
#include <stddef.h>
#include <stdint.h>

/* Also the random numbers of this program: mix64(seed + n). */
uint64_t mix64(uint64_t x);

uint64_t pattern_key(uint64_t connection, unsigned direction);

/* The stream's bytes from offset on. */
void pattern_fill(uint64_t key, uint64_t offset, unsigned char *ret, size_t length);

/* How many of these bytes are right, from the first on: `length` if all are. */
size_t pattern_check(uint64_t key, uint64_t offset, const unsigned char *data, size_t length);

#endif
