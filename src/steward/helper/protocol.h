/* What is said between a helper and us: one JSON object a line, each way. Pure functions on text; nothing to end but what is
 * malloc(3)ed for the caller. */
#ifndef STEWARD_HELPER_PROTOCOL_H
#define STEWARD_HELPER_PROTOCOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HELPER_LINE_MAX = 64 * 1024, /* of an answer, bytes without the line's end */
	HELPER_WHY = 128,
};

/* The request, with its newline: TCPWARDEN_NAME=... of the environment as member "name", TCPWARDEN_VAR_KEY as "KEY" in
 * "variables"; what else stands there is not told. malloc(3)ed; NULL: out of memory. */
char *helper_request_format(uint64_t id, char *const *environment);

struct helper_answer {
	uint64_t id;
	bool ok, busy, unavailable;
	char *output; /* as an acquire hook in exec mode would have printed it: KEY=VALUE and backend= lines */
	char *error;  /* NULL: none was given */
};

/* 0; -EINVAL: it is no answer, and `why` says what is the matter; -ENOMEM. helper_answer_fini in any case. */
int helper_answer_parse(struct helper_answer *ret, const char *line, size_t length, char why[HELPER_WHY]);
void helper_answer_fini(struct helper_answer *answer);

#endif
