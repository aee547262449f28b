#include "steward/lease/row.h"

#include "steward/hook/order.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *row_bytes_encode(const char *bytes)
{
	size_t length = strlen(bytes), n = 0;
	char *text = malloc(2 * length + 1);
	if (!text)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c < 0x80) {
			text[n++] = (char)c;
		} else {
			text[n++] = (char)(0xc0 | c >> 6);
			text[n++] = (char)(0x80 | (c & 0x3f));
		}
	}
	json_t *value = json_stringn(text, n);
	free(text);
	return value;
}

char *row_bytes(const json_t *value)
{
	const char *text = json_string_value(value);
	char *bytes = text ? malloc(strlen(text) + 1) : NULL;
	if (!bytes)
		return NULL;
	size_t n = 0;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c >= 0xc0 && c[1]) {
			bytes[n++] = (char)((c[0] << 6 | (c[1] & 0x3f)) & 0xff);
			c++;
		} else {
			bytes[n++] = (char)*c;
		}
	}
	bytes[n] = '\0';
	return bytes;
}

static json_t *list_encode(char *const *list)
{
	if (!list)
		return json_null();
	json_t *array = json_array();
	for (; array && *list; list++) {
		if (json_array_append_new(array, row_bytes_encode(*list))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int row_list(char ***ret, const json_t *array)
{
	*ret = NULL;
	if (!array || json_is_null(array))
		return 0;
	if (!json_is_array(array))
		return -EINVAL;
	size_t count = json_array_size(array);
	char **list = calloc(count + 1, sizeof *list);
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!(list[i] = row_bytes(json_array_get(array, i)))) {
			string_list_free(list);
			return -EINVAL;
		}
	}
	*ret = list;
	return 0;
}

bool row_put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new_nocheck(object, key, value) == 0;
}

json_t *row_put_object(json_t *object, const char *key)
{
	json_t *value = json_object();
	return row_put(object, key, value) ? value : NULL;
}

static size_t hex_format(char *text, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < length; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return 2 * length;
}

bool row_put_hex(json_t *object, const char *key, const uint8_t *bytes, size_t length)
{
	char text[2 * ROW_HEX_MAX];
	assert(length <= ROW_HEX_MAX);
	return row_put(object, key, json_stringn_nocheck(text, hex_format(text, bytes, length)));
}

bool row_put_word(json_t *object, const char *key, uint64_t word)
{
	uint64_t big_endian = htobe64(word);
	return !word || row_put_hex(object, key, (const uint8_t *)&big_endian, sizeof word);
}

bool row_put_number(json_t *object, const char *key, json_int_t value)
{
	return !value || row_put(object, key, json_integer(value));
}

bool row_put_flag(json_t *object, const char *key, bool flag)
{
	return !flag || row_put(object, key, json_true());
}

bool row_put_bytes(json_t *object, const char *key, const char *bytes)
{
	return !bytes || row_put(object, key, row_bytes_encode(bytes));
}

bool row_put_list(json_t *object, const char *key, char *const *list)
{
	return !list || row_put(object, key, list_encode(list));
}

uint64_t row_word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? strtoull(text, NULL, 16) : 0;
}

json_int_t row_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}
