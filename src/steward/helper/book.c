#include "steward/helper/book.h"

#include "steward/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { RETRY_MS = 1000 };

static void on_retry(uv_timer_t *timer);

int book_init(struct book *book, uv_loop_t *loop, const char *state_directory, void (*on_written)(struct book *book))
{
	*book = (struct book){.on_written = on_written};
	if (asprintf(&book->path, "%s/helpers", state_directory) < 0) {
		book->path = NULL;
		return -ENOMEM;
	}
	uv_timer_init(loop, &book->retry);
	book->retry.data = book->work.data = book;
	return 0;
}

int book_read(struct book *book, int (*on_group)(void *context, const struct process_group *group), void *context)
{
	char line[256];
	int r = 0;
	FILE *from = fopen(book->path, "re");
	if (!from)
		return errno == ENOENT ? 0 : -errno;
	while (!r && fgets(line, sizeof line, from)) {
		struct process_group group = {0};
		if (sscanf(line, "%" SCNd32 " %" SCNu64 " %39s", &group.pid, &group.start_ticks, group.boot) == 3)
			r = on_group(context, &group);
		else
			r = -EINVAL;
	}
	if (!r && ferror(from))
		r = -EIO;
	fclose(from);
	return r;
}

/* ---- on the pool ---- */

static int sync_directory(const char *path)
{
	char *directory = strndup(path, (size_t)(strrchr(path, '/') - path));
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 || fsync(fd) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	free(directory);
	return r;
}

static int write_file(const char *path, const char *text)
{
	char *next;
	if (asprintf(&next, "%s.new", path) < 0)
		return -ENOMEM;
	int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t length = strlen(text);
	ssize_t n = fd < 0 ? -1 : write(fd, text, length);
	int r = n < 0 ? -errno : (size_t)n < length ? -ENOSPC : 0;
	if (!r && fsync(fd))
		r = -errno;
	if (fd >= 0 && close(fd) && !r)
		r = -errno;
	if (!r && rename(next, path))
		r = -errno;
	free(next);
	return r ? r : sync_directory(path);
}

static void on_work(uv_work_t *work)
{
	struct book *book = work->data;
	book->error = write_file(book->path, book->text);
}

/* ---- on the loop ---- */

static void free_all(uv_handle_t *handle)
{
	struct book *book = handle->data;
	free(book->groups);
	free(book->path);
	book->on_closed(book);
}

static void write_next(struct book *book);

static void on_worked(uv_work_t *work, int status)
{
	struct book *book = work->data;
	int error = status ? status : book->error;
	uint64_t writing = book->writing;
	free(book->text);
	book->text = NULL;
	book->writing = 0;
	if (book->closed) {
		uv_close((uv_handle_t *)&book->retry, free_all);
		return;
	}
	if (error) {
		if (error != book->told)
			log_line(LOG_ERR, "%s cannot be written, and helpers wait for it: %s", book->path, strerror(-error));
		book->told = error;
		uv_timer_start(&book->retry, on_retry, RETRY_MS, 0);
		return;
	}
	book->told = 0;
	book->written = writing;
	write_next(book);
	book->on_written(book);
}

static char *format(const struct book *book)
{
	char *text;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return NULL;
	for (size_t i = 0; i < book->count; i++)
		fprintf(to, "%" PRId32 " %" PRIu64 " %s\n", book->groups[i].pid, book->groups[i].start_ticks,
			book->groups[i].boot);
	return fclose(to) ? NULL : text;
}

static void write_next(struct book *book)
{
	if (book->writing || book->closed || book->written == book->asked)
		return;
	if (!(book->text = format(book))) {
		uv_timer_start(&book->retry, on_retry, RETRY_MS, 0);
		return;
	}
	book->writing = book->asked;
	uv_queue_work(book->retry.loop, &book->work, on_work, on_worked);
}

static void on_retry(uv_timer_t *timer)
{
	write_next(timer->data);
}

int book_add(struct book *book, const struct process_group *group, uint64_t *ret_asked)
{
	struct process_group *groups = reallocarray(book->groups, book->count + 1, sizeof *groups);
	if (!groups)
		return -ENOMEM;
	book->groups = groups;
	groups[book->count++] = *group;
	*ret_asked = ++book->asked;
	if (!uv_is_active((uv_handle_t *)&book->retry))
		write_next(book);
	return 0;
}

void book_remove(struct book *book, const struct process_group *group)
{
	for (size_t i = 0; i < book->count; i++)
		if (book->groups[i].pid == group->pid && book->groups[i].start_ticks == group->start_ticks)
			book->groups[i--] = book->groups[--book->count];
}

void book_close(struct book *book, void (*on_closed)(struct book *book))
{
	book->closed = true;
	book->on_closed = on_closed;
	uv_timer_stop(&book->retry);
	if (!book->writing)
		uv_close((uv_handle_t *)&book->retry, free_all);
}
