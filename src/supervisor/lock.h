/* STATE/lock: one tree for each state directory. The lock is an flock(2) on an open file that the holders inherit, so it lives as
 * long as any session's descriptors do, and no one need clean up after a crash. The file holds the pid of the supervisor and its
 * start time, for messages only. */
#ifndef SUPERVISOR_LOCK_H
#define SUPERVISOR_LOCK_H
#include <stdint.h>

/* Makes the directory if only the last part of its path is missing, takes the lock and writes us into it. The descriptor
 * (read-only: holders cannot write to the file), or -errno with `error` saying what is wrong and what to do: -EWOULDBLOCK:
 * another tree has it, and does not let it go within wait_ms, in which we block. */
int lock_take(const char *state_directory, uint32_t wait_ms, char error[512]);

/* For one that a predecessor left: is it locked? Writes us into it. 0 or -errno. */
int lock_keep(int fd, const char *state_directory);

#endif
