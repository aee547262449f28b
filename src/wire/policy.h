/* The numbers that a session lives under. They are copied into its slot when it begins, so that a reload needs no
 * reference counts: an old session lives on under the policy it began with, unless an operator has new ones applied to it. */
#ifndef WIRE_POLICY_H
#define WIRE_POLICY_H
#include <stdint.h>

enum side { SIDE_CLIENT, SIDE_BACKEND };
enum { SIDES = 2 };

static inline enum side other_side(enum side s)
{
	return s == SIDE_CLIENT ? SIDE_BACKEND : SIDE_CLIENT;
}

enum linger_mode { LINGER_DELIVER, LINGER_BACKGROUND, LINGER_RESET };

/* What the other side sees when one side failed, could not be reached, or was ended by us. */
enum end_mode { END_RESET, END_RESET_NOW, END_CLOSE };

/* What becomes of a session whose backend is removed from its service, or has another address now. */
enum backend_gone { BACKEND_GONE_KEEP, BACKEND_GONE_DRAIN, BACKEND_GONE_CLOSE, BACKEND_GONE_RESET };

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_SOURCE_HASH, BALANCE_FAILOVER };

struct side_policy {
	uint32_t keepalive_idle_s;     /* 0: SO_KEEPALIVE off */
	uint32_t keepalive_interval_s; /* 1..32767, tcp(7) TCP_KEEPINTVL */
	uint32_t keepalive_count;      /* 1..127, tcp(7) TCP_KEEPCNT */
	uint32_t user_timeout_ms;      /* 0: not set, tcp(7) TCP_USER_TIMEOUT */
	uint32_t linger_timeout_ms;
	uint32_t connect_timeout_ms;   /* backend only: for one address */
	uint32_t dead_after_ms;        /* 0: off */
	uint32_t ask_gap_ms;           /* with dead_after: bytes outstanding, the kernel asks at least so often (liveness.h) */
	uint32_t stall_after_ms;       /* 0: off */
	uint8_t linger;                /* enum linger_mode */
	uint8_t nodelay;
	uint8_t keepalive_steps;       /* by how many intervals less the first probe may wait: liveness_spread */
	uint8_t padding;
};

struct policy {
	struct side_policy side[SIDES];
	uint32_t connect_retries;      /* further tries after the first, over all addresses and backends */
	uint32_t idle_timeout_ms;       /* these three: 0: off */
	uint32_t half_close_timeout_ms;
	uint32_t lifetime_ms;
	uint8_t on_failure;            /* enum end_mode */
	uint8_t on_connect_failure;
	uint8_t on_policy_end;
	uint8_t abort_on_close;        /* a client's FIN cancels a pending acquire or connect */
	uint8_t hooked;                /* 1: acquire, connect and end go through the steward */
	uint8_t on_backend_gone;       /* enum backend_gone */
	uint8_t padding[2];
};

#endif
