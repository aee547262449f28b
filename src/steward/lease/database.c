#include "steward/lease/database.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PREDECESSOR_WAIT_MS = 5000, GROWTH = 64 * 1024 };

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

static int failed(struct database *database, int code)
{
	int system = database->handle ? sqlite3_system_errno(database->handle) : 0;
	bool tell = system && (code & 0xff) != SQLITE_OK && (code & 0xff) != SQLITE_CORRUPT && (code & 0xff) != SQLITE_NOTADB;
	snprintf(database->text, sizeof database->text, "%s%s%s", sqlite3_errstr(code), tell ? ": " : "",
		tell ? strerror(system) : "");
	return error_of(code);
}

static int run(struct database *database, const char *sql)
{
	return sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
}

/* The first column of the first row, as a number and as text. */
static int ask(struct database *database, const char *sql, int64_t *ret, char *text, size_t size)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL);
	if (code)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		if (ret)
			*ret = sqlite3_column_int64(statement, 0);
		const unsigned char *word = sqlite3_column_text(statement, 0);
		if (text)
			snprintf(text, size, "%s", word ? (const char *)word : "");
		code = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

void database_close(struct database *database)
{
	sqlite3_finalize(database->put);
	sqlite3_finalize(database->remove);
	sqlite3_finalize(database->fence);
	history_close(&database->history);
	sqlite3_close(database->handle);
	database->handle = NULL;
	database->put = database->remove = database->fence = NULL;
}

/* The main file is kept larger than it must be, from the start. So what the log holds finds room in it when the disk is full, and
 * the log, which may be all that fills that disk, can begin anew. */
static void reserve(struct database *database)
{
	int growth = GROWTH;
	sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_CHUNK_SIZE, &growth);
	run(database, "PRAGMA wal_checkpoint(TRUNCATE)"); /* what does not fit now stays in the log */
}

/* Each from that schema to the next. What was written by an older one stays as it is: record.c reads it. */
static const char *const upgrades[DATABASE_SCHEMA] = {
	"BEGIN IMMEDIATE;"
	"CREATE TABLE lease (fence INTEGER PRIMARY KEY, record TEXT NOT NULL);"
	"CREATE TABLE fence (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);"
	"INSERT INTO fence VALUES (1, 0);"
	"PRAGMA user_version=1;"
	"COMMIT",
	"BEGIN IMMEDIATE;" HISTORY_SCHEMA "PRAGMA user_version=2;"
	"COMMIT",
};

/* locking_mode comes before the first access: SQLite then holds the lock until it closes, which keeps a second steward out, and
 * needs no shared memory file, whose mapping raises SIGBUS when the disk is full. */
static int open_once(struct database *database)
{
	/* Made by us, so that nobody else reads the hooks' environment that is in it. */
	int fd = open(database->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		int error = -errno;
		snprintf(database->text, sizeof database->text, "%s", strerror(-error));
		return error;
	}
	close(fd);

	int code = sqlite3_open_v2(database->path, &database->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code)
		return failed(database, code);
	sqlite3_extended_result_codes(database->handle, 1);
	sqlite3_busy_timeout(database->handle, PREDECESSOR_WAIT_MS);

	int64_t schema = 0;
	char word[DATABASE_TEXT] = "";
	if ((code = run(database, "PRAGMA locking_mode=EXCLUSIVE")) ||
		(code = ask(database, "PRAGMA user_version", &schema, NULL, 0)))
		return failed(database, code);
	if (schema > DATABASE_SCHEMA) {
		snprintf(database->text, sizeof database->text,
			"it was made by a newer tcpwarden (schema %lld, this one knows %d): start that version, or move the file "
			"away",
			(long long)schema, DATABASE_SCHEMA);
		return -EPROTO;
	}
	if ((code = ask(database, "PRAGMA journal_mode=WAL", NULL, word, sizeof word)) ||
		(code = run(database, "PRAGMA synchronous=FULL")) || (code = run(database, "PRAGMA journal_size_limit=4194304")))
		return failed(database, code);
	if ((code = ask(database, "PRAGMA quick_check(1)", NULL, word, sizeof word)))
		return failed(database, code);
	if (strcmp(word, "ok")) {
		snprintf(database->text, sizeof database->text, "%s", word);
		return -EUCLEAN;
	}

	for (; schema < DATABASE_SCHEMA; schema++)
		if ((code = run(database, upgrades[schema])))
			return failed(database, code);
	if ((code = sqlite3_prepare_v3(database->handle, "INSERT OR REPLACE INTO lease VALUES (?1, ?2)", -1,
		     SQLITE_PREPARE_PERSISTENT, &database->put, NULL)) ||
		(code = sqlite3_prepare_v3(database->handle, "DELETE FROM lease WHERE fence = ?1", -1, SQLITE_PREPARE_PERSISTENT,
			 &database->remove, NULL)) ||
		(code = sqlite3_prepare_v3(database->handle,
			 "INSERT OR REPLACE INTO fence SELECT 1, max(ifnull(max(last), 0), ?1) FROM fence", -1,
			 SQLITE_PREPARE_PERSISTENT, &database->fence, NULL)) ||
		(code = history_open(&database->history, database->handle)))
		return failed(database, code) == -EIO ? -EUCLEAN : error_of(code); /* SQLITE_ERROR: these are not our tables */
	reserve(database);
	return 0;
}

static int set_aside(struct database *database)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
	char stamp[32], from[PATH_MAX + 16], to[PATH_MAX + 64];
	time_t now = time(NULL);
	struct tm utc;
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));

	/* None that was set aside in this second before may be overwritten. */
	for (int attempt = 0;; attempt++) {
		char number[16] = "";
		if (attempt)
			snprintf(number, sizeof number, ".%d", attempt);
		snprintf(to, sizeof to, "%s.corrupt-%s%s", database->path, stamp, number);
		if (access(to, F_OK))
			break;
	}
	size_t base = strlen(to);
	/* The main file last: as long as it stands, what a crash leaves here is again found damaged. */
	for (size_t i = sizeof suffix / sizeof *suffix; i--;) {
		snprintf(from, sizeof from, "%s%s", database->path, suffix[i]);
		snprintf(to + base, sizeof to - base, "%s", suffix[i]);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	database->set_aside = true;
	return 0;
}

int database_open(struct database *database)
{
	int r = open_once(database);
	if (r == -EUCLEAN) {
		database_close(database);
		char damage[DATABASE_TEXT];
		snprintf(damage, sizeof damage, "%s", database->text);
		if ((r = set_aside(database))) {
			snprintf(database->text, sizeof database->text, "damaged, and cannot be set aside: %s", strerror(-r));
			return r;
		}
		r = open_once(database);
		if (!r)
			memcpy(database->text, damage, sizeof damage);
	}
	if (r)
		database_close(database);
	return r;
}

static int apply(struct database *database, const struct database_row *row)
{
	sqlite3_stmt *statement = row->record ? database->put : database->remove;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->fence);
	int code = row->record ? sqlite3_bind_text(statement, 2, row->record, -1, SQLITE_STATIC) : SQLITE_OK;
	if (!code)
		code = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int apply_all(
	struct database *database, const struct database_row *rows, size_t count, uint64_t last_fence, bool with_history)
{
	bool added = false;
	int code = run(database, "BEGIN IMMEDIATE");
	for (size_t i = 0; !code && i < count; i++) {
		code = apply(database, &rows[i]);
		if (!code && rows[i].ended && with_history) {
			code = history_add(&database->history, rows[i].ended);
			added = true;
		}
	}
	if (!code && added)
		code = history_prune(&database->history, clock_real_us());
	if (!code) {
		sqlite3_bind_int64(database->fence, 1, (sqlite3_int64)last_fence);
		code = sqlite3_step(database->fence);
		sqlite3_reset(database->fence);
		code = code == SQLITE_DONE ? SQLITE_OK : code;
	}
	return code ? code : run(database, "COMMIT");
}

static int commit_once(
	struct database *database, const struct database_row *rows, size_t count, uint64_t last_fence, bool with_history)
{
	int r;
	if (!database->handle && (r = database_open(database)))
		return r;
	int code = apply_all(database, rows, count, last_fence, with_history);
	if (!code)
		return 0;
	r = failed(database, code);
	if (!sqlite3_get_autocommit(database->handle))
		run(database, "ROLLBACK");
	/* After an error of the disk nothing that was read before is believed: the next try opens it anew, and checks it. */
	if (r != -EBUSY && r != -ENOMEM)
		database_close(database);
	return r;
}

int database_commit(struct database *database, const struct database_row *rows, size_t count, uint64_t last_fence)
{
	int r = commit_once(database, rows, count, last_fence, true);
	/* Closing it has moved the log into the main file: perhaps there is room for a new one. */
	if (r == -ENOSPC)
		r = commit_once(database, rows, count, last_fence, true);
	return r == -ENOSPC || r == -EIO ? commit_once(database, rows, count, last_fence, false) : r;
}

int database_history(struct database *database, const struct lease_query *query, char ***ret_texts, size_t *ret_count)
{
	if (!database->handle)
		return -EIO; /* the last commit failed, and the next try opens it again */
	return error_of(history_read(&database->history, query, ret_texts, ret_count));
}

int database_load(struct database *database, uint64_t *ret_last_fence,
	void (*on_row)(void *context, uint64_t fence, const char *record), void *context)
{
	int64_t last = 0;
	int code =
		ask(database, "SELECT max(ifnull((SELECT max(fence) FROM lease), 0), ifnull((SELECT max(last) FROM fence), 0))",
			&last, NULL, 0);
	if (code)
		return failed(database, code);
	*ret_last_fence = (uint64_t)last;

	sqlite3_stmt *statement;
	if ((code = sqlite3_prepare_v2(database->handle, "SELECT fence, record FROM lease ORDER BY fence", -1, &statement, NULL)))
		return failed(database, code);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const unsigned char *record = sqlite3_column_text(statement, 1);
		on_row(context, (uint64_t)sqlite3_column_int64(statement, 0), record ? (const char *)record : "");
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? 0 : failed(database, code);
}
