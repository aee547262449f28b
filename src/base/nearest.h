/* The word that was probably meant by a mistyped one. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H
#include <stdbool.h>
#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b, whatever the case; long words count as wholly
 * different. */
size_t nearest_distance(const char *a, const char *b);

/* The likely one of least distance, the first of equals; NULL: none is likely. */
const char *nearest_word(const char *word, const char *const *known, size_t count);

#endif
