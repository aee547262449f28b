/* A ledger as a relay leaves it, and noise that is written over parts of it. */
#ifndef TESTS_FUZZ_OVERLAY_H
#define TESTS_FUZZ_OVERLAY_H
#include "fuzz.h"
#include "wire/ledger.h"

enum { OVERLAY_SLOTS = 16, OVERLAY_SESSIONS = 6, OVERLAY_RELAY = 3, OVERLAY_PIECES = 16, OVERLAY_PIECE = 32 };

struct overlay {
	int fd;
	struct ledger ledger; /* writable */
	char *whole;          /* what stood there before all noise */
	struct piece {
		size_t at, size;
	} pieces[OVERLAY_PIECES];
	size_t count;
};

/* The memory of a new ledger of OVERLAY_SLOTS for pair OVERLAY_RELAY; it is filled by the caller, who says then that it is whole.
 */
void overlay_init(struct overlay *overlay);
void overlay_is_whole(struct overlay *overlay);

/* Back to what was whole, then the noise that the input says. Numbers that it writes are often of `numbers`. */
void overlay_apply(struct overlay *overlay, struct fuzz_input *in, const int32_t *numbers, size_t count);

/* Noise was written to some of those bytes. */
bool overlay_touched(const struct overlay *overlay, const volatile void *at, size_t size);

/* A session that is whole, but for its descriptors. */
struct slot *overlay_session(struct overlay *overlay, uint32_t index, enum slot_state state);

#endif
