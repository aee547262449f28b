#include "script.h"

#include <string.h>

uint64_t script_out_total(const struct conn *c)
{
	const struct request *r = &c->request;

	if (c->role == ROLE_CLIENT)
		return sizeof *r + (r->kind == KIND_CLIENT_RST ? r->cut : r->kind == KIND_EARLY_RST ? 0 : r->up);
	return r->kind == KIND_BACKEND_RST ? r->cut : r->down;
}

uint64_t script_in_total(const struct conn *c)
{
	const struct request *r = &c->request;

	if (c->role == ROLE_CLIENT)
		return r->kind == KIND_BACKEND_RST ? r->cut : r->down;
	return sizeof *r + (r->kind == KIND_CLIENT_RST ? r->cut : r->up);
}

bool script_out_done(const struct conn *c)
{
	return c->sent == script_out_total(c);
}

bool script_stalls(const struct conn *c)
{
	return c->request.kind == KIND_STALL_DOWN || c->request.kind == KIND_STALL_UP;
}

bool script_may_send(const struct conn *c)
{
	if (!c->connected || !c->requested || c->send_failed || c->shut || script_out_done(c))
		return false;
	if (c->role == ROLE_CLIENT)
		return true;
	switch ((enum kind)c->request.kind) {
	case KIND_ASK:
		return c->received >= script_in_total(c);
	case KIND_LATE:
		return c->in_end != STREAM_OPEN;
	case KIND_FIN:
	case KIND_CLIENT_RST:
	case KIND_BACKEND_RST:
	case KIND_ABRUPT:
	case KIND_EARLY_RST:
	case KIND_STALL_DOWN:
	case KIND_STALL_UP:
	case KIND_REFUSED:
	case KIND_MESSAGE:
	case KIND_COUNT:
		break;
	}
	return true;
}

bool script_may_read(const struct conn *c)
{
	if (!c->connected || c->in_end != STREAM_OPEN)
		return false;
	if (c->role == ROLE_CLIENT)
		return c->request.kind != KIND_STALL_DOWN;
	return !c->requested || c->request.kind != KIND_STALL_UP;
}

bool script_shuts(const struct conn *c)
{
	switch ((enum kind)c->request.kind) {
	case KIND_FIN:
	case KIND_LATE:
		return true;
	case KIND_ASK:
		return c->role == ROLE_BACKEND || c->in_end != STREAM_OPEN;
	case KIND_ABRUPT:
		return c->role == ROLE_BACKEND;
	case KIND_CLIENT_RST:
	case KIND_BACKEND_RST:
	case KIND_EARLY_RST:
	case KIND_STALL_DOWN:
	case KIND_STALL_UP:
	case KIND_REFUSED:
	case KIND_MESSAGE:
	case KIND_COUNT:
		break;
	}
	return false;
}

bool script_resets(const struct conn *c)
{
	if (c->role == ROLE_CLIENT)
		return c->request.kind == KIND_CLIENT_RST || c->request.kind == KIND_EARLY_RST;
	return c->request.kind == KIND_BACKEND_RST;
}

enum load_verdict script_judge(const struct conn *c, const char *message)
{
	enum kind kind = (enum kind)c->request.kind;
	bool reset_due = c->role == ROLE_CLIENT ? kind == KIND_BACKEND_RST : kind == KIND_CLIENT_RST || kind == KIND_EARLY_RST;
	uint64_t due = script_in_total(c);

	if (c->wrong)
		return LOAD_WRONG_BYTE;
	if (c->role == ROLE_BACKEND && !c->requested)
		return c->in_end == STREAM_EOF ? LOAD_DISGUISED : c->in_end == STREAM_RESET ? LOAD_OK : LOAD_ODD;
	if (c->role == ROLE_CLIENT && kind == KIND_REFUSED) {
		if (c->received)
			return LOAD_EXCESS;
		return c->in_end == STREAM_RESET ? LOAD_OK : c->in_end == STREAM_EOF ? LOAD_DISGUISED : LOAD_ODD;
	}
	if (c->role == ROLE_CLIENT && kind == KIND_MESSAGE)
		due = strlen(message);
	if (c->received > due)
		return LOAD_EXCESS;
	if (c->in_end == STREAM_ODD)
		return LOAD_ODD;
	/* We were the ones who cut it off: how it would have ended is not known. */
	if (script_resets(c) || (c->role == ROLE_CLIENT && kind == KIND_ABRUPT) || script_stalls(c))
		return LOAD_OK;
	if (c->in_end == STREAM_EOF) {
		if (reset_due)
			return LOAD_DISGUISED;
		return c->received == due ? LOAD_OK : LOAD_SHORT;
	}
	if (c->role == ROLE_BACKEND && (kind == KIND_ABRUPT || kind == KIND_EARLY_RST))
		return LOAD_OK;
	if (!reset_due)
		return LOAD_RESET;
	return c->received == due ? LOAD_OK : LOAD_RESET_SHORT;
}
