/* What /proc says of a process. */
#ifndef SUPERVISOR_PROC_H
#define SUPERVISOR_PROC_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* /proc/PID/FILE, as far as it fits, with a NUL after it. False: nothing could be read. */
bool proc_read(pid_t pid, const char *file, char *ret, size_t size);

/* It runs in our cgroup: that of the unit, where systemd started us. */
bool proc_is_of_our_cgroup(pid_t pid);

#endif
