/* What the kernel says of a TCP connection, asked by its addresses (sock_diag(7)): the steward has no session's socket, and to
 * ask so costs the relay nothing.
 *
 * The kernel answers within the call that asks, so nothing waits. Owner: the control; ends by tcp_view_close. */
#ifndef STEWARD_CONTROL_TCP_VIEW_H
#define STEWARD_CONTROL_TCP_VIEW_H
#include "base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

struct tcp_view {
	int fd;
	int error; /* -errno: the kernel does not answer such questions; 0: it does */
	uint32_t sequence;
};

/* FINs count neither as bytes nor as unread. */
struct tcp_facts {
	uint8_t state;       /* enum of netinet/tcp.h: TCP_ESTABLISHED */
	bool end_unacked;    /* our FIN is given, and not acknowledged */
	uint8_t retransmits; /* of what is unacknowledged, in a row, without an answer */
	uint8_t probes;      /* of keepalive or of a closed window, in a row, without an answer */
	uint8_t backoff;     /* how often the gap between these has doubled */
	uint32_t unacked_bytes, unsent_bytes, unread_bytes;
	uint32_t window; /* that the peer offers, bytes; 0 also before Linux 5.4 */
	uint32_t mss;
	uint32_t last_ack_ms, last_data_ms; /* ago, from the peer */
	uint32_t last_sent_ms;              /* ago: bytes to the peer, also again */
	uint32_t asks_in_ms;                /* when what is outstanding is sent again, or asked about; 0: nothing is */
	uint32_t segments;                  /* that came in, of any kind */
	uint32_t rtt_us;
};

/* Whether it can be asked is in view->error. */
void tcp_view_open(struct tcp_view *view);
void tcp_view_close(struct tcp_view *view);

/* The connection of which `own` is our end. 0; -ENOENT: there is none, or it is closed; -EAFNOSUPPORT: such ends are not TCP's;
 * else -errno. */
int tcp_view_ask(struct tcp_view *view, const struct endpoint *own, const struct endpoint *peer, struct tcp_facts *ret);

/* The time since the peer's last sign of life, ms. */
uint32_t tcp_facts_heard_ms(const struct tcp_facts *facts);

/* "established", "fin-wait-1"; "?" for what is none. */
const char *tcp_state_word(unsigned state);

#endif
