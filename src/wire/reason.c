#include "wire/reason.h"

static const char *const who_words[] = {
#define WHO(NAME, word, meaning) word,
#include "wire/reason_table.h"
};
static const char *const how_words[] = {
#define HOW(NAME, word, meaning) word,
#include "wire/reason_table.h"
};
static const char *const operation_words[] = {
#define OPERATION(NAME, word, meaning) word,
#include "wire/reason_table.h"
};

const char *who_word(unsigned who)
{
	return who < WHO_COUNT ? who_words[who] : "?";
}

const char *how_word(unsigned how)
{
	return how < HOW_COUNT ? how_words[how] : "?";
}

const char *operation_word(unsigned operation)
{
	return operation < OPERATION_COUNT ? operation_words[operation] : "?";
}
