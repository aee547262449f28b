/* Why a session ended: who.how, and the operation that told. The words stand in reason_table.h. */
#ifndef WIRE_REASON_H
#define WIRE_REASON_H
#include <stdint.h>

enum who {
#define WHO(NAME, word, meaning) WHO_##NAME,
#include "wire/reason_table.h"
	WHO_COUNT
};
enum how {
#define HOW(NAME, word, meaning) HOW_##NAME,
#include "wire/reason_table.h"
	HOW_COUNT
};
enum operation {
#define OPERATION(NAME, word, meaning) OPERATION_##NAME,
#include "wire/reason_table.h"
	OPERATION_COUNT
};

struct reason {
	uint8_t who;       /* enum who */
	uint8_t how;       /* enum how */
	uint8_t operation; /* enum operation */
	uint8_t state;     /* enum slot_state in which it happened */
	int32_t error;     /* errno of that operation, or 0 */
};

/* "client", "closed", "receive". Numbers from a ledger are claims: out of range gives "?". */
const char *who_word(unsigned who);
const char *how_word(unsigned how);
const char *operation_word(unsigned operation);

#endif
