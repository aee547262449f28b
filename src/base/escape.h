/* Text that came from elsewhere (a hook's stderr, a relay's claim) made fit for one line of a log or terminal. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H
#include <stddef.h>

/* Copies `length` bytes to `to`, NUL terminated, with control characters and what is not UTF-8 as \xNN. What does not fit into
 * `size` is cut off at a whole character. Returns the length written. */
size_t escape_text(char *to, size_t size, const char *from, size_t length);

#endif
