/* The numbers by which the running kernel gives up connections by itself: ip-sysctl, of the network namespace that we are in.
 * A plain value; what the kernel does not have is as if it had the default of one that does, or of one that never will. */
#ifndef STEWARD_CONFIG_KERNEL_H
#define STEWARD_CONFIG_KERNEL_H
#include <stdbool.h>
#include <stdint.h>

struct kernel {
	uint32_t retries2;            /* tcp_retries2: of what is sent, and of window probes */
	uint32_t syn_retries;         /* tcp_syn_retries */
	uint32_t syn_linear_timeouts; /* tcp_syn_linear_timeouts, since 6.5: so many before they are spaced ever wider */
	uint32_t synack_retries;      /* tcp_synack_retries */
	uint32_t orphan_retries;      /* tcp_orphan_retries; 0 means 8: net/ipv4/tcp_timer.c tcp_orphan_retries() */
	uint32_t fin_timeout_s;       /* tcp_fin_timeout */
	uint32_t rto_max_ms;          /* tcp_rto_max_ms, since 6.15 */
	bool paces;                   /* it has TCP_RTO_MAX_MS, and relays use it */
};

#define KERNEL_SYSCTLS "/proc/sys/net/ipv4"

/* From files of that directory. Never fails. */
void kernel_read(struct kernel *ret, const char *directory);

#endif
