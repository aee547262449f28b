#include "fuzz.h"

#include <fcntl.h>
#include <string.h>

unsigned fuzz_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < FUZZ_DESCRIPTORS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#ifdef FUZZ_WITH_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned draw);

/* Begins anew with a seed now and then. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned draw)
{
	size_t count = 0;

	while (fuzz_target.seeds && fuzz_target.seeds[count].bytes)
		count++;
	if (count && (size <= 1 || draw % 64 == 0)) {
		const struct fuzz_seed *seed = &fuzz_target.seeds[draw / 64 % count];

		size = seed->size < size_max ? seed->size : size_max;
		memcpy(bytes, seed->bytes, size);
	}
	return LLVMFuzzerMutate(bytes, size, size_max);
}
#endif
