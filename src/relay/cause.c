#include "relay/cause.h"

#include <errno.h>

bool cause_is_ours(const struct slot *slot)
{
	switch ((enum who)slot->record.reason.who) {
	case WHO_NONE:
	case WHO_CLIENT:
	case WHO_BACKEND:
		return false;
	case WHO_HOOK:
	case WHO_POLICY:
	case WHO_OPERATOR:
	case WHO_SYSTEM:
	case WHO_COUNT:
		break;
	}
	return true;
}

void cause_note(struct slot *slot, enum who who, enum how how, enum operation operation, int error)
{
	struct reason *r = &slot->record.reason;

	if (r->who != WHO_NONE && !(r->how == HOW_CLOSED && how != HOW_CLOSED))
		return;
	slot_write_begin(slot);
	*r = (struct reason){.who = (uint8_t)who,
		.how = (uint8_t)how,
		.operation = (uint8_t)operation,
		.state = (uint8_t)slot_state(slot),
		.error = error};
	slot_write_end(slot);
}

enum how cause_of_error(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
	case ECONNABORTED:
		return HOW_RESET;
	case ETIMEDOUT:
		return HOW_DEAD;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
		return HOW_UNREACHABLE;
	}
	return HOW_FAILED;
}
