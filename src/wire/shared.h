/* Shared memory that outlives who made it: memfds of a fixed size, sealed so that no one can pull the pages away. */
#ifndef WIRE_SHARED_H
#define WIRE_SHARED_H
#include <stdbool.h>
#include <stddef.h>

/* A memfd of `size` zero bytes, close-on-exec. It is not sealed yet. The descriptor or -errno: memfd_create(2). */
int shared_create(const char *name, size_t size);

/* What was made is sealed against any change of size and of seals; `constant` also against any write (no writable mapping may exist).
 * 0 or -errno: fcntl(2) F_ADD_SEALS. Not F_SEAL_FUTURE_WRITE: whoever comes next could not map it writable. */
int shared_seal(int fd, bool constant);

/* Maps the whole of a sealed memfd. The size goes to *ret_size. -EPERM: it is not sealed as said; -EINVAL: smaller than `least`. */
int shared_map(int fd, bool writable, bool constant, size_t least, void **ret, size_t *ret_size);

#endif
