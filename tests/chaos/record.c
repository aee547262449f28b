#include "record.h"

#include <inttypes.h>
#include <string.h>

static const char *error_word(int error)
{
	return error ? strerrorname_np(error) : "";
}

static const char *boolean(bool value)
{
	return value ? "true" : "false";
}

void record_write(FILE *to, const struct peer *p)
{
	static const char *const sides[] = {[CLIENT] = "client", [BACKEND] = "backend"};
	static const char *const saw[] = {[SAW_NOTHING] = "nothing", [SAW_EOF] = "eof", [SAW_RESET] = "reset"};
	static const char *const did[] = {[DID_NOTHING] = "nothing",
		[DID_RESET] = "reset",
		[DID_CLOSE_UNREAD] = "close_unread",
		[DID_CLOSE] = "close",
		[DID_VANISH] = "vanish"};

	fprintf(to, "{\"side\": \"%s\", \"id\": ", sides[p->side]);
	if (p->known)
		fprintf(to, "%" PRIu64, p->id);
	else
		fprintf(to, "null");
	fprintf(to, ", \"local\": \"%s\", \"remote\": \"%s\", \"plan\": \"%s\"", p->local, p->remote,
		p->known ? plan_end_word(p->plan.end) : "unknown");
	fprintf(to, ", \"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"total\": %" PRIu64, p->sent, p->received,
		p->plan.total);
	fprintf(to, ", \"kernel_acked\": %" PRIu64 ", \"kernel_received\": %" PRIu64 ", \"state\": %d", p->books.acked,
		p->books.received, p->books.state);
	fprintf(to, ", \"fin\": %s, \"fin_acked\": %s, \"exact\": %s, \"settled\": %s, \"did\": \"%s\", \"saw\": \"%s\"",
		boolean(p->fin), boolean(p->books.fin_acked), boolean(p->exact || p->books.state == BOOKS_CLOSE),
		boolean(p->settled || p->books.state == BOOKS_CLOSE), did[p->did], saw[p->saw]);
	fprintf(to, ", \"saw_errno\": \"%s\", \"send_errno\": \"%s\"", error_word(p->saw_error), error_word(p->send_error));
	fprintf(to, ", \"born_ms\": %" PRIu64 ", \"fin_us\": %" PRIu64 ", \"saw_us\": %" PRIu64 ", \"did_us\": %" PRIu64,
		p->born_ms, p->fin_us, p->saw_us, p->did_us);
	fprintf(to, ", \"wrong\": %s, \"wrong_at\": %" PRIu64 ", \"stuck\": %s}\n", boolean(p->wrong), p->wrong_at,
		boolean(p->stuck));
}
