#include "steward/lease/history.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static int prepare(struct history *history, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v3(history->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}

int history_open(struct history *history, struct sqlite3 *handle)
{
	history->handle = handle;
	int code = prepare(history, "INSERT INTO ended (at_us, service, client, record) VALUES (?1, ?2, ?3, ?4)", &history->add);
	/* Rows are numbered as they come, so neither looks at more than it removes, and one. */
	if (!code)
		code = prepare(
			history, "DELETE FROM ended WHERE number <= (SELECT max(number) FROM ended) - ?1", &history->prune_many);
	if (!code)
		code = prepare(history,
			"DELETE FROM ended WHERE number < (SELECT number FROM ended WHERE at_us >= ?1 ORDER BY number LIMIT 1)",
			&history->prune_old);
	return code;
}

void history_close(struct history *history)
{
	sqlite3_finalize(history->add);
	sqlite3_finalize(history->prune_old);
	sqlite3_finalize(history->prune_many);
	*history = (struct history){0};
}

static int step(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int history_add(struct history *history, const struct ended *ended)
{
	sqlite3_bind_int64(history->add, 1, (sqlite3_int64)ended->at_us);
	sqlite3_bind_text(history->add, 2, ended->service, -1, SQLITE_STATIC);
	sqlite3_bind_text(history->add, 3, ended->client, -1, SQLITE_STATIC);
	sqlite3_bind_text(history->add, 4, ended->text, -1, SQLITE_STATIC);
	return step(history->add);
}

int history_prune(struct history *history, uint64_t now_us)
{
	sqlite3_bind_int64(history->prune_many, 1, HISTORY_MAX);
	int code = step(history->prune_many);
	sqlite3_bind_int64(history->prune_old, 1, (sqlite3_int64)now_us - HISTORY_DAYS * 24ll * 3600 * 1000000);
	return code ? code : step(history->prune_old);
}

int history_read(struct history *history, const struct lease_query *query, char ***ret_texts, size_t *ret_count)
{
	uint32_t most = query->most < HISTORY_MAX ? query->most : HISTORY_MAX;
	char **texts = calloc(most + 1, sizeof *texts);
	if (!texts)
		return SQLITE_NOMEM;
	size_t count = 0;
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(history->handle,
		"SELECT record FROM ended WHERE (?1 = '' OR service = ?1) AND (?2 = '' OR client = ?2) ORDER BY number DESC "
		"LIMIT ?3",
		-1, &statement, NULL);
	if (!code) {
		sqlite3_bind_text(statement, 1, query->service, -1, SQLITE_STATIC);
		sqlite3_bind_text(statement, 2, query->client, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 3, most);
		while (count < most && (code = sqlite3_step(statement)) == SQLITE_ROW) {
			const char *text = (const char *)sqlite3_column_text(statement, 0);
			if (!text || !(texts[count] = strdup(text))) {
				code = SQLITE_NOMEM;
				break;
			}
			count++;
		}
		sqlite3_finalize(statement);
	}
	if (code && code != SQLITE_DONE && code != SQLITE_ROW) {
		while (count)
			free(texts[--count]);
		free(texts);
		return code;
	}
	*ret_texts = texts;
	*ret_count = count;
	return SQLITE_OK;
}
