#include "pattern.h"

#include <string.h>

/* Two multiplications are enough to make neighbouring positions unlike each other. */
uint64_t mix64(uint64_t x)
{
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
	x = (x ^ (x >> 29)) * 0x9fb21c651e98df25u;
	return x ^ (x >> 32);
}

uint64_t pattern_key(uint64_t connection, unsigned direction)
{
	return mix64(connection * 2 + direction + 0x7463707761726465u);
}

static uint64_t word_at(uint64_t key, uint64_t index)
{
	return mix64(key + index);
}

void pattern_fill(uint64_t key, uint64_t offset, unsigned char *ret, size_t length)
{
	while (length) {
		uint64_t word = word_at(key, offset / 8);
		size_t skip = offset % 8, n = 8 - skip;

		if (n > length)
			n = length;
		memcpy(ret, (const unsigned char *)&word + skip, n);
		ret += n;
		offset += n;
		length -= n;
	}
}

size_t pattern_check(uint64_t key, uint64_t offset, const unsigned char *data, size_t length)
{
	size_t done = 0;

	while (done < length) {
		uint64_t word = word_at(key, (offset + done) / 8);
		size_t skip = (offset + done) % 8, n = 8 - skip;
		const unsigned char *right = (const unsigned char *)&word + skip;

		if (n > length - done)
			n = length - done;
		if (memcmp(data + done, right, n) != 0) {
			while (data[done] == *right++)
				done++;
			return done;
		}
		done += n;
	}
	return length;
}
