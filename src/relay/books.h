/* The kernel's books: how many bytes were ever taken from a TCP socket and given to it, exact at every step and also after
 * a reset. They are what makes a relay disposable: whatever its predecessor did, they tell how far it had come. */
#ifndef RELAY_BOOKS_H
#define RELAY_BOOKS_H
#include <stdbool.h>
#include <stdint.h>

struct books {
	int64_t received; /* bytes that the peer sent and our kernel has or had; its FIN is not counted */
	int64_t taken;    /* of those, taken from the socket by recv or splice */
	int64_t given;    /* bytes given to the socket by send or splice; our FIN is not counted, a connected socket's SYN is */
	int64_t acked;    /* of those, acknowledged by the peer's kernel */
	int unread;       /* received and not taken */
	int state;        /* enum tcp_state of tcp_states.h: 1 ESTABLISHED .. 7 CLOSE .. */
	bool fin_received;
	bool fin_acked;   /* our FIN was sent and acknowledged */
	int error;        /* the errno that the socket told while being asked, or 0: it tells it once, keep it */
};

/* What the caller knows, and the state CLOSE no longer tells or not for nothing: we did SHUT_WR; the peer's FIN was seen. */
enum { BOOKS_SHUT = 1, BOOKS_FINISHED = 2 };

/* known: of these two. 0 or -errno (-EOPNOTSUPP: not TCP). tcp(7) TCP_INFO, SIOCINQ, SIOCOUTQ; net/ipv4/tcp.c tcp_inq_hint, tcp_ioctl. */
int books_read(int fd, unsigned known, struct books *ret);

/* tcp(7) TCP_INFO, what this kernel knows of it; the rest is 0. 0 or -errno. */
struct tcp_info;
int books_info(int fd, struct tcp_info *ret);

struct books_asked {
	uint32_t probes;    /* keepalive's or the window's, not answered */
	uint32_t silent_ms; /* since an answer, or anything else, came */
};

/* Whether the peer answers. 0 or -errno. */
int books_asked(int fd, struct books_asked *ret);

/* The state alone, or -errno. */
int books_state(int fd);

/* The peer ended its stream by a FIN that is in the books. What recv says is not enough: after a reset whose errno was told
 * to someone else it says 0, as at a clean end. For a socket that is not TCP, recv's word is all there is: true. *error as in books. */
bool books_end_is_clean(int fd, int *error);

/* SIOCOUTQ: bytes given and not yet acknowledged, a FIN included; 0 for what is not TCP. */
int books_unacknowledged(int fd);

/* SIOCINQ: bytes that can be read. */
int books_unread(int fd);

#endif
