/* Capabilities, by the raw calls (capget(2), capset(2)), so that no library is needed. Sets are bits, as in
 * <linux/capability.h>. */
#ifndef BASE_CAPABILITY_H
#define BASE_CAPABILITY_H
#include <stdint.h>

/* 0 or -errno. */
int capability_get_permitted(uint64_t *ret);

/* Permitted and effective, and what an exec may inherit (which still needs to be made ambient to pass to a plain program). 0 or
 * -errno. */
int capability_set(uint64_t permitted, uint64_t inheritable);

/* Those of what we have that are in the set pass to the programs that we start, and no others. 0 or -errno. */
int capability_pass_on(uint64_t set);

/* What we have stays ours: nothing passes to a program that we start. 0 or -errno. */
int capability_keep_to_ourselves(void);

#endif
