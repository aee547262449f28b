#include "steward/listen/place.h"

#include <sys/stat.h>

uint32_t place_relay(uint32_t workers, const struct listener *l, uint32_t place)
{
	if (place < workers)
		return place;
	return place >= CENSUS_RELAYS || workers == 0 || listener_is_shared(l) ? PLACE_NOBODY : place % workers;
}

bool place_can_be_lent(const struct listener *l, const struct ledger_view *view, uint32_t place)
{
	struct stat st;

	switch (l->where.kind) {
	case ADDRESS_HOST:
		return listener_listed_anywhere(l, view, place);
	case ADDRESS_UNIX: /* one whose file is gone is on its way out */
		return listener_listed_anywhere(l, view, PLACE_ANY) && lstat(l->where.host, &st) == 0 && S_ISSOCK(st.st_mode);
	case ADDRESS_SYSTEMD:
		break; /* it was given to us */
	}
	return false;
}

bool place_is_elsewhere(uint32_t workers, const struct listener *l, const struct ledger_view *view, uint32_t place)
{
	uint32_t relay = place_relay(workers, l, place);

	if (!listener_is_shared(l))
		return relay == PLACE_NOBODY || listener_opened(l, view->of[relay], place);
	for (relay = 0; relay < workers; relay++)
		if (listener_opened(l, view->of[relay], relay))
			return true;
	return false;
}

bool place_is_lacking(uint32_t workers, const struct listener *l, const struct ledger_view *view)
{
	for (uint32_t r = 0; l->shared_fd < 0 && r < workers; r++)
		if (!listener_listed(l, view->of[r], r))
			return true;
	return false;
}
