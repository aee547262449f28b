/* What the fuzz targets share. A target is a program of one function, LLVMFuzzerTestOneInput, that ends by abort() when what must
 * hold for every input does not. Built with `configure --enable-fuzzer` libFuzzer drives it; else driver.c does, for some seconds
 * and always with the same inputs, as one of the tests of `make check`. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* An input to begin with: one of the kind that is expected, or one that was once answered wrongly. */
struct fuzz_seed {
	const char *bytes;
	size_t size;
};
#define FUZZ_SEED(text)                                                                                                          \
	{                                                                                                                        \
		text, sizeof(text) - 1                                                                                           \
	}

struct fuzz_target {
	unsigned runs; /* of driver.c */
	size_t size_max;
	const struct fuzz_seed *seeds; /* ends with an empty one; NULL: none */
};
extern const struct fuzz_target fuzz_target;

/* Takes an input apart; at its end all is zero. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned size)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < size && in->left; i++, in->left--)
		n |= (uint64_t)*in->at++ << 8 * i;
	return n;
}

#define FUZZ_MUST(condition)                                                                                                     \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                           \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

/* How many descriptors below FUZZ_DESCRIPTORS are open. */
enum { FUZZ_DESCRIPTORS = 128 };
unsigned fuzz_descriptors(void);

#endif
