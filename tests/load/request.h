/* What a client asks of the backend: the first bytes of each connection. So the client's command line alone decides
 * what happens, and both sides know how each stream must end. */
#ifndef LOAD_REQUEST_H
#define LOAD_REQUEST_H
#include <stdint.h>

/* K(NAME, word, what happens) */
#define KINDS(K)                                                                                                                 \
	K(FIN, "fin", "both send at once, and each ends its stream when it has sent all")                                        \
	K(ASK, "ask", "the backend answers when it has the whole question, and ends first")                                      \
	K(LATE, "late", "the client half-closes; the backend answers only then")                                                 \
	K(CLIENT_RST, "client_rst", "the client resets in mid-upload, when all that it sent is acknowledged")                    \
	K(BACKEND_RST, "backend_rst", "the backend resets in mid-download, when all that it sent is acknowledged")               \
	K(ABRUPT, "abrupt", "the client sends all and closes without reading the answer's end")                                  \
	K(EARLY_RST, "early_rst", "the client resets as soon as it has sent the request")                                        \
	K(STALL_DOWN, "stall_down", "the client never reads while the backend sends")                                            \
	K(STALL_UP, "stall_up", "the backend never reads while the client sends")                                                \
	K(REFUSED, "refused", "the client expects to be reset without a byte")                                                   \
	K(MESSAGE, "message", "the client expects a given text and then the end of the stream")

enum kind {
#define K(NAME, word, meaning) KIND_##NAME,
	KINDS(K)
#undef K
		KIND_COUNT
};

enum { REQUEST_MAGIC = 0x74776c64 };

struct request {
	uint32_t magic;
	uint32_t kind;               /* enum kind */
	uint64_t id;                 /* of the connection: makes its patterns */
	uint64_t up, down;           /* bytes that each side would send, this request not counted */
	uint64_t cut;                /* where a reset comes */
	uint32_t size_min, size_max; /* of one message, bytes */
	uint32_t pace_ms;            /* between two messages of one side */
	uint32_t padding;
};

const char *kind_word(enum kind kind);
int kind_parse(const char *word, enum kind *ret); /* 0 or -EINVAL */

#endif
