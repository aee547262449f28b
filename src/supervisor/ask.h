/* A question to a program: it is run with some arguments, and what it prints and its exit status are the answer. Member of
 * whoever asks; it is over when the callback has come, which may start it again. */
#ifndef SUPERVISOR_ASK_H
#define SUPERVISOR_ASK_H
#include "supervisor/process.h"
#include "supervisor/program.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASK_TEXT_SIZE = 512 };

struct ask {
	struct process *process; /* NULL: nothing is being asked */
	int output;
	uint64_t deadline_ms;
	bool killed;
	char text[ASK_TEXT_SIZE]; /* its first line; or why there is none */
	void (*on_answer)(void *owner, int status);
	void *owner;
};

/* fd: at number 3 there, -1: none. on_answer: the exit status; -1: it gave none, and text says why. 0 or -errno. */
int ask_start(struct ask *ask, uv_loop_t *loop, const struct program *program, const char *const *argv, int fd,
	enum privilege_role role, const struct privilege *privilege, void (*on_answer)(void *owner, int status), void *owner);

/* A few times a second: ends who takes too long. */
void ask_check(struct ask *ask, uint64_t now_ms);

#endif
