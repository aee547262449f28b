#include "steward/control/tcp_view.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_SIZE = 4096, ANSWERS_MOST = 8 };

/* include/net/tcp_states.h; netinet/tcp.h cannot stand beside linux/tcp.h. */
enum { TIMER_RETRANSMIT = 1, TIMER_WINDOW_PROBE = 4 }; /* net/ipv4/inet_diag.c inet_sk_diag_fill */
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5, CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };

static const char *const state_words[] = {
	[ESTABLISHED] = "established",
	[2] = "syn-sent",
	[3] = "syn-received",
	[FIN_WAIT1] = "fin-wait-1",
	[FIN_WAIT2] = "fin-wait-2",
	[6] = "time-wait",
	[7] = "closed",
	[CLOSE_WAIT] = "close-wait",
	[LAST_ACK] = "last-ack",
	[10] = "listen",
	[CLOSING] = "closing",
};

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

const char *tcp_state_word(unsigned state)
{
	return state < sizeof state_words / sizeof state_words[0] && state_words[state] ? state_words[state] : "?";
}

uint32_t tcp_facts_heard_ms(const struct tcp_facts *facts)
{
	/* A segment with data that acknowledges nothing new moves only the latter. */
	return facts->last_ack_ms < facts->last_data_ms ? facts->last_ack_ms : facts->last_data_ms;
}

static void begin(struct tcp_view *view, struct question *q, int family, uint16_t flags)
{
	memset(q, 0, sizeof *q);
	q->header.nlmsg_len = sizeof *q;
	q->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	q->header.nlmsg_seq = ++view->sequence;
	q->body.sdiag_family = (uint8_t)family;
	q->body.sdiag_protocol = IPPROTO_TCP;
	q->body.id.idiag_cookie[0] = q->body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* The length of the answer, or -errno. What was left of an earlier question is passed over. */
static int ask(struct tcp_view *view, const struct question *q, struct nlmsghdr *answer)
{
	if (send(view->fd, q, sizeof *q, MSG_DONTWAIT) < 0)
		return -errno;
	for (int i = 0; i < ANSWERS_MOST; i++) {
		ssize_t n = recv(view->fd, answer, ANSWER_SIZE, MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		if (!NLMSG_OK(answer, (size_t)n) || answer->nlmsg_seq != q->header.nlmsg_seq)
			continue;
		if (answer->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(answer);

			return answer->nlmsg_len >= NLMSG_LENGTH(sizeof *e) && e->error ? e->error : -EPROTO;
		}
		return (int)answer->nlmsg_len;
	}
	return -EAGAIN;
}

/* A dump of the sockets in no state at all: the answer is empty, and that there is one tells that tcp_diag is there. When asked
 * for a single connection, a kernel without it says the same as of a connection that is none. */
static int try_out(struct tcp_view *view)
{
	union {
		char bytes[ANSWER_SIZE];
		struct nlmsghdr header;
	} answer;
	struct question q;
	int r;

	begin(view, &q, AF_INET, NLM_F_DUMP);
	r = ask(view, &q, &answer.header);
	if (r < 0)
		return r == -ENOENT ? -EPROTONOSUPPORT : r;
	return answer.header.nlmsg_type == NLMSG_DONE ? 0 : -EPROTO;
}

void tcp_view_open(struct tcp_view *view)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	*view = (struct tcp_view){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)};
	if (view->fd < 0)
		view->error = -errno;
	/* Connected, it hears the kernel and no one else. */
	else if (connect(view->fd, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
		view->error = -errno;
	else
		view->error = try_out(view);
	if (view->error)
		tcp_view_close(view);
}

void tcp_view_close(struct tcp_view *view)
{
	if (view->fd >= 0)
		close(view->fd);
	view->fd = -1;
}

static void put_bytes(struct tcp_facts *f, const struct inet_diag_msg *m, const struct tcp_info *info)
{
	uint32_t outstanding = m->idiag_wqueue, unsent = info->tcpi_notsent_bytes, unread = m->idiag_rqueue;
	bool fin_received = f->state == CLOSE_WAIT || f->state == LAST_ACK || f->state == CLOSING;

	if (unsent > outstanding)
		unsent = outstanding;
	f->end_unacked = f->state == FIN_WAIT1 || f->state == LAST_ACK || f->state == CLOSING;
	f->unacked_bytes = outstanding - unsent;
	f->unsent_bytes = unsent;
	/* Our FIN comes last. */
	if (f->end_unacked && unsent)
		f->unsent_bytes--;
	else if (f->end_unacked && f->unacked_bytes)
		f->unacked_bytes--;
	f->unread_bytes = unread - (fin_received && unread);
}

static void put(struct tcp_facts *f, const struct inet_diag_msg *m, const struct tcp_info *info)
{
	*f = (struct tcp_facts){
		.state = m->idiag_state,
		.retransmits = info->tcpi_retransmits,
		.probes = info->tcpi_probes,
		.backoff = info->tcpi_backoff,
		.window = info->tcpi_snd_wnd,
		.mss = info->tcpi_snd_mss,
		.last_ack_ms = info->tcpi_last_ack_recv,
		.last_data_ms = info->tcpi_last_data_recv,
		.last_sent_ms = info->tcpi_last_data_sent,
		.asks_in_ms = m->idiag_timer == TIMER_RETRANSMIT || m->idiag_timer == TIMER_WINDOW_PROBE ? m->idiag_expires : 0,
		.segments = info->tcpi_segs_in,
		.rtt_us = info->tcpi_rtt,
	};
	put_bytes(f, m, info);
}

static bool is_connected(unsigned state)
{
	return state == ESTABLISHED || state == FIN_WAIT1 || state == FIN_WAIT2 || state == CLOSE_WAIT || state == LAST_ACK ||
	       state == CLOSING;
}

int tcp_view_ask(struct tcp_view *view, const struct endpoint *own, const struct endpoint *peer, struct tcp_facts *ret)
{
	union {
		char bytes[ANSWER_SIZE];
		struct nlmsghdr header;
	} answer;
	const struct inet_diag_msg *m = NLMSG_DATA(&answer.header);
	struct question q;
	const struct nlattr *a;
	int r, left;

	if ((own->family != AF_INET && own->family != AF_INET6) || peer->family != own->family)
		return -EAFNOSUPPORT;
	if (view->error)
		return view->error;
	begin(view, &q, own->family, 0);
	q.body.idiag_ext = 1 << (INET_DIAG_INFO - 1);
	q.body.idiag_states = ~0u;
	q.body.id.idiag_sport = htons(own->port);
	q.body.id.idiag_dport = htons(peer->port);
	q.body.id.idiag_if = own->scope ? own->scope : peer->scope;
	memcpy(q.body.id.idiag_src, own->ip, sizeof own->ip);
	memcpy(q.body.id.idiag_dst, peer->ip, sizeof peer->ip);
	r = ask(view, &q, &answer.header);
	if (r < 0)
		return r;
	left = r - (int)NLMSG_LENGTH(sizeof *m);
	/* Where there is no such connection, its listener answers. */
	if (left < 0 || !is_connected(m->idiag_state))
		return -ENOENT;
	for (a = (const void *)(m + 1); left >= (int)sizeof *a && a->nla_len >= sizeof *a && a->nla_len <= left;
		left -= NLA_ALIGN(a->nla_len), a = (const void *)((const char *)a + NLA_ALIGN(a->nla_len))) {
		size_t length = a->nla_len - sizeof *a;
		struct tcp_info info = {0};

		if (a->nla_type != INET_DIAG_INFO)
			continue;
		/* What an older kernel does not tell is 0, and what a newer one tells besides is passed over. */
		memcpy(&info, a + 1, length < sizeof info ? length : sizeof info);
		put(ret, m, &info);
		return 0;
	}
	return -ENOENT;
}
