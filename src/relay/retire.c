#include "relay/retire.h"

#include "relay/door.h"
#include "wire/say.h"

#include <sys/syslog.h>

void retire_told(struct relay *relay, bool retires)
{
	if (relay->retiring == retires)
		return;
	relay->retiring = retires;
	say(LOG_INFO, retires ? "one relay too many: ends once its sessions have" : "wanted again");
}

bool retire_is_done(struct relay *relay)
{
	struct ledger_header *header = relay->header;

	/* Whoever hands over ends by that. */
	if (!relay->retiring || relay->hand_over || relay->vacancies.live > 0 || doors_are_any(relay) ||
		atomic_load(&header->events_taken) < atomic_load(&header->events_made))
		return false;
	atomic_store(&header->ready, 0); /* what tells this end from a death, and a death here changes nothing */
	return true;
}
