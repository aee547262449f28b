#include "steward/config/kernel.h"

#include "wire/liveness.h"

#include <limits.h>
#include <stdio.h>

static uint32_t sysctl(const char *directory, const char *name, uint32_t otherwise)
{
	char path[PATH_MAX];
	uint32_t value = otherwise;
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	file = fopen(path, "re");
	if (!file)
		return otherwise;
	if (fscanf(file, "%u", &value) != 1)
		value = otherwise;
	fclose(file);
	return value;
}

void kernel_read(struct kernel *ret, const char *directory)
{
	*ret = (struct kernel){
		.retries2 = sysctl(directory, "tcp_retries2", 15),
		.syn_retries = sysctl(directory, "tcp_syn_retries", 6),
		.syn_linear_timeouts = sysctl(directory, "tcp_syn_linear_timeouts", 0),
		.synack_retries = sysctl(directory, "tcp_synack_retries", 5),
		.orphan_retries = sysctl(directory, "tcp_orphan_retries", 0),
		.fin_timeout_s = sysctl(directory, "tcp_fin_timeout", 60),
		.rto_max_ms = sysctl(directory, "tcp_rto_max_ms", 120000),
		.paces = liveness_kernel_rto_max_ms() && !liveness_no_rto_max(),
	};
}
