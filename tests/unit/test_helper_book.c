/* The book of helpers: what stands in it is on disk, also after a disk that was full, and is found by the next. */
#include "quiet_log.h"
#include "steward/helper/book.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uv_loop_t loop;
static char directory[64];
static struct process_group found[8];
static size_t found_count;

static void on_written(struct book *book)
{
	(void)book;
}

static void on_closed(struct book *book)
{
	memset(book, 0, sizeof *book);
}

static int on_group(void *context, const struct process_group *group)
{
	(void)context;
	found[found_count++] = *group;
	return 0;
}

static void begin(struct book *book)
{
	assert_int_equal(book_init(book, &loop, directory, on_written), 0);
	found_count = 0;
}

static void end(struct book *book)
{
	book_close(book, on_closed);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void wait_written(const struct book *book, uint64_t asked)
{
	while (book->written < asked)
		assert_true(uv_run(&loop, UV_RUN_ONCE) || book->written >= asked);
}

static void assert_same(const struct process_group *a, const struct process_group *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_true(a->start_ticks == b->start_ticks);
	assert_string_equal(a->boot, b->boot);
}

static void test_found_by_the_next(void **state)
{
	(void)state;
	struct book book;
	struct process_group one = {.pid = 7, .start_ticks = 1ull << 60, .boot = "boot-1"},
			     two = {.pid = 8, .start_ticks = 2, .boot = "boot-1"};
	uint64_t asked_one, asked_two;
	begin(&book);
	assert_int_equal(book_read(&book, on_group, NULL), 0);
	assert_int_equal(found_count, 0);
	assert_int_equal(book_add(&book, &one, &asked_one), 0);
	assert_int_equal(book_add(&book, &two, &asked_two), 0); /* while the first is written */
	assert_true(book.written < asked_one);
	wait_written(&book, asked_two);
	end(&book);

	begin(&book);
	assert_int_equal(book_read(&book, on_group, NULL), 0);
	assert_int_equal(found_count, 2);
	assert_same(&found[0], &one);
	assert_same(&found[1], &two);
	/* What an earlier one left is dealt with before anything is added. */
	assert_int_equal(book_add(&book, &two, &asked_two), 0);
	book_remove(&book, &two);
	assert_int_equal(book_add(&book, &one, &asked_one), 0);
	wait_written(&book, asked_one);
	found_count = 0;
	assert_int_equal(book_read(&book, on_group, NULL), 0);
	assert_int_equal(found_count, 1);
	assert_int_equal(found[0].pid, 7);
	end(&book);
}

static void test_cannot_be_written(void **state)
{
	(void)state;
	char elsewhere[80];
	struct book book;
	struct process_group one = {.pid = 9, .start_ticks = 3, .boot = "boot-1"};
	uint64_t asked;
	begin(&book);
	snprintf(elsewhere, sizeof elsewhere, "%s-gone", directory);
	assert_int_equal(rename(directory, elsewhere), 0);
	assert_int_equal(book_add(&book, &one, &asked), 0);
	while (!book.told)
		assert_true(uv_run(&loop, UV_RUN_ONCE));
	assert_int_equal(book.told, -ENOENT);
	assert_true(book.written < asked);
	assert_true(quiet_log_has("cannot be written"));
	assert_int_equal(rename(elsewhere, directory), 0);
	wait_written(&book, asked); /* by itself */
	end(&book);
}

static void test_not_ours(void **state)
{
	(void)state;
	char path[80];
	struct book book;
	snprintf(path, sizeof path, "%s/helpers", directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs("7 x\n", file);
	fclose(file);
	begin(&book);
	assert_int_equal(book_read(&book, on_group, NULL), -EINVAL);
	end(&book);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_the_next),
		cmocka_unit_test(test_cannot_be_written),
		cmocka_unit_test(test_not_ours),
	};
	snprintf(directory, sizeof directory, "/tmp/helper-book-XXXXXX");
	if (!mkdtemp(directory))
		return 1;
	uv_loop_init(&loop);
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return uv_loop_close(&loop) ? 1 : r;
}
