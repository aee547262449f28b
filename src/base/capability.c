#include "base/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int capability_get_permitted(uint64_t *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

int capability_set(uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)permitted, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(permitted >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int capability_pass_on(uint64_t set)
{
	uint64_t permitted;
	int r = capability_get_permitted(&permitted);

	set &= permitted;
	if (r == 0)
		r = capability_set(permitted, set);
	for (unsigned long i = 0; i < 64 && r == 0; i++)
		if (set & (uint64_t)1 << i && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			r = -errno;
	return r;
}

int capability_keep_to_ourselves(void)
{
	uint64_t permitted;
	int r = capability_get_permitted(&permitted);

	/* Ambient ones are lost with the inheritable ones that they rest on: capabilities(7). */
	return r < 0 ? r : capability_set(permitted, 0);
}
