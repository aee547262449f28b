/* SipHash-1-3 (Aumasson, Bernstein 2012) of whole words, for tables whose keys strangers choose: without the hash's key nobody
 * can choose such that they fall into one place. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H
#include <stddef.h>
#include <stdint.h>

/* The words count as this machine has them: on a little-endian one it is the hash of the same bytes. */
uint64_t siphash_words(const uint64_t key[2], const uint64_t *words, size_t count);

#endif
