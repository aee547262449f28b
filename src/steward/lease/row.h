/* The values in a row of the store, which is a JSON object: how they are put there, and read again. Knows no lease.
 *
 * A row is written at each of a lease's moves, thousands of times a second: what is not known yet, 0 or nothing, does not stand
 * in it. Functions on the caller's objects; nothing to end. */
#ifndef STEWARD_LEASE_ROW_H
#define STEWARD_LEASE_ROW_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_HEX_MAX = 16 };

/* False: out of memory. */
bool row_put(json_t *object, const char *key, json_t *value); /* takes it */
bool row_put_hex(json_t *object, const char *key, const uint8_t *bytes, size_t length);
bool row_put_word(json_t *object, const char *key, uint64_t word); /* 64 bits do not fit a JSON number */
bool row_put_number(json_t *object, const char *key, json_int_t value);
bool row_put_flag(json_t *object, const char *key, bool flag);
bool row_put_bytes(json_t *object, const char *key, const char *bytes);
bool row_put_list(json_t *object, const char *key, char *const *list); /* NULL-terminated, or NULL */
json_t *row_put_object(json_t *object, const char *key);               /* borrowed; NULL: out of memory */

/* What is not there is 0, or NULL. */
uint64_t row_word(const json_t *object, const char *key);
json_int_t row_number(const json_t *object, const char *key);
char *row_bytes(const json_t *value);           /* malloc(3)ed; NULL also: it is no text, out of memory */
int row_list(char ***ret, const json_t *array); /* 0, -EINVAL or -ENOMEM; string_list_free */

/* Commands, environments and what hooks print are bytes; JSON knows only characters. Each byte is kept as the character of that
 * number. NULL: out of memory. */
json_t *row_bytes_encode(const char *bytes);

#endif
