#include "base/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 character at p (Unicode 15.0, table 3-7), or 0. */
static size_t character(const unsigned char *p, size_t left)
{
	size_t n;
	unsigned char low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (left < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* C0, DEL and C1: what a terminal may obey. */
static int obeyed(const unsigned char *p, size_t n)
{
	return (n == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

size_t escape_text(char *to, size_t size, const char *from, size_t length)
{
	const unsigned char *p = (const unsigned char *)from;
	size_t used = 0;

	if (size == 0)
		return 0;
	while (length > 0) {
		size_t n = character(p, length);

		if (n > 0 && !obeyed(p, n)) {
			if (used + n >= size)
				break;
			memcpy(to + used, p, n);
			used += n;
		} else {
			char code[8];

			n = 1;
			if (used + 4 >= size)
				break;
			snprintf(code, sizeof code, "\\x%02x", p[0]);
			memcpy(to + used, code, 4);
			used += 4;
		}
		p += n;
		length -= n;
	}
	to[used] = '\0';
	return used;
}
