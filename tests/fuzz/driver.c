/* Drives a fuzz target where there is no libFuzzer: its seeds, and then changed ones, always the same.
 *
 *   fuzz_x               the test
 *   fuzz_x FILE...       these inputs alone
 *   FUZZ_RUNS=n FUZZ_FROM=n   other inputs, as many as that
 *   FUZZ_KEEP=FILE       each input is written there first: after a crash it is the one */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHANGES_MOST = 8, PIECE_MOST = 64 };

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32) % below;
}

/* Bounds of all kinds. */
static uint64_t odd_number(void)
{
	static const uint64_t numbers[] = {0, 1, 2, 6, 7, 8, 63, 64, 127, 128, 255, 256, 1023, 1024, 4095, 4096, INT16_MAX,
		UINT16_MAX, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};

	return numbers[draw(sizeof numbers / sizeof numbers[0])] - (draw(4) == 0);
}

static size_t insert(uint8_t *bytes, size_t size, size_t at, size_t count)
{
	if (count > fuzz_target.size_max - size)
		count = fuzz_target.size_max - size;
	memmove(bytes + at + count, bytes + at, size - at);
	for (size_t i = 0; i < count; i++)
		bytes[at + i] = (uint8_t)draw(256);
	return size + count;
}

static size_t change(uint8_t *bytes, size_t size)
{
	size_t at = size ? draw((uint32_t)size) : 0, count = 1 + draw(draw(4) ? 8 : PIECE_MOST), from;
	uint64_t number = odd_number();

	if (count > size - at)
		count = size - at;
	from = size ? draw((uint32_t)(size - count + 1)) : 0;
	switch (size ? draw(6) : 0) {
	case 0:
		return insert(bytes, size, at, 1 + draw(PIECE_MOST));
	case 1:
		memmove(bytes + at, bytes + at + count, size - at - count);
		return size - count;
	case 2:
		bytes[at] ^= (uint8_t)(1u << draw(8));
		return size;
	case 3:
		memcpy(bytes + at, &number, count < sizeof number ? count : sizeof number);
		return size;
	case 4:
		memmove(bytes + at, bytes + from, count);
		return size;
	default:
		for (size_t i = 0; i < count; i++)
			bytes[at + i] = (uint8_t)draw(256);
		return size;
	}
}

static void run(const uint8_t *bytes, size_t size)
{
	const char *keep = getenv("FUZZ_KEEP");
	uint8_t *copy = malloc(size ? size : 1); /* of that size, so that a read beyond it is seen */

	if (keep) {
		int fd = open(keep, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

		if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
			perror(keep);
		close(fd);
	}
	if (size)
		memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int run_file(const char *path)
{
	uint8_t *bytes = malloc(fuzz_target.size_max);
	FILE *f = fopen(path, "re");

	if (!f) {
		perror(path);
		free(bytes);
		return 1;
	}
	run(bytes, fread(bytes, 1, fuzz_target.size_max, f));
	fclose(f);
	free(bytes);
	return 0;
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	unsigned runs = number_of("FUZZ_RUNS", fuzz_target.runs), seeds = 0;
	uint8_t *bytes = malloc(fuzz_target.size_max + PIECE_MOST);
	int r = 0;

	for (int i = 1; i < argc; i++)
		r |= run_file(argv[i]);
	for (; argc == 1 && fuzz_target.seeds && fuzz_target.seeds[seeds].bytes; seeds++)
		run((const uint8_t *)fuzz_target.seeds[seeds].bytes, fuzz_target.seeds[seeds].size);
	state = 0x9e3779b97f4a7c15u + number_of("FUZZ_FROM", 0) * 0xda942042e4dd58b5u;
	for (unsigned i = 0; argc == 1 && i < runs; i++) {
		size_t size = 0;

		if (seeds && draw(8)) {
			const struct fuzz_seed *seed = &fuzz_target.seeds[draw(seeds)];

			size = seed->size;
			memcpy(bytes, seed->bytes, size);
		} else {
			size = insert(bytes, 0, 0, draw((uint32_t)fuzz_target.size_max + 1));
		}
		for (uint32_t n = draw(CHANGES_MOST); n > 0; n--)
			size = change(bytes, size);
		run(bytes, size);
	}
	free(bytes);
	return r;
}
