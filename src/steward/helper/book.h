/* Which helpers run: STATE/helpers, a line for each process group, on disk before its program may run. A steward that finds it
 * ends what an earlier one left there.
 *
 * Written on libuv's pool, all of it at once, under another name that is then renamed; what has ended stays in it until the next
 * write, which harms no one: a process_group is never another's. A write that fails is told, and tried again until it succeeds.
 * A member of struct helpers; ends by book_close, which lets a write under way end first. */
#ifndef STEWARD_HELPER_BOOK_H
#define STEWARD_HELPER_BOOK_H
#include "steward/hook/process_group.h"

#include <stddef.h>
#include <uv.h>

struct book {
	char *path;
	struct process_group *groups;
	size_t count;
	uint64_t asked, written; /* count of writes asked for; the last of them that is on disk */
	void (*on_written)(struct book *book);
	uv_work_t work;
	uv_timer_t retry;
	/* of the write under way */
	char *text;
	uint64_t writing; /* 0: none */
	int error;
	int told; /* the error that was */
	bool closed;
	void (*on_closed)(struct book *book);
};

/* 0 or -ENOMEM. */
int book_init(struct book *book, uv_loop_t *loop, const char *state_directory, void (*on_written)(struct book *book));

/* What stands in it from before; call it before the first book_add. 0 or -errno. */
int book_read(struct book *book, int (*on_group)(void *context, const struct process_group *group), void *context);

/* It is on disk once book->written has reached *ret_asked. 0 or -ENOMEM. */
int book_add(struct book *book, const struct process_group *group, uint64_t *ret_asked);
void book_remove(struct book *book, const struct process_group *group);

void book_close(struct book *book, void (*on_closed)(struct book *book));

#endif
