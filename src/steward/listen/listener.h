/* One address that clients connect to, and the sockets for it that are on their way to relays. Owner: the listeners (their
 * lists); ends by listener_free. Known to this folder only. */
#ifndef STEWARD_LISTEN_LISTENER_H
#define STEWARD_LISTEN_LISTENER_H
#include "steward/listen/bind.h"
#include "steward/listen/gifts.h"
#include "steward/listen/listeners.h"

/* One socket of an address, by its place: a TCP address has one for each relay that it was bound for, and another relay may have it
 * now. Of a shared one each relay has a copy, at the place of its own number. */
struct share {
	int fd;         /* on its way to the relay that is to have it, -1: none */
	uint32_t asked; /* 1 + the relay that was asked for a copy, 0: none was */
	bool lent;      /* it is another relay's, and has a queue of clients */
	bool told;
	bool answered;
	bool complained; /* of the failure it has now: not again at each retry */
	int error;       /* of its answer, or of ours when it could not be bound */
};

struct listener {
	struct address where;
	struct side_policy policy;
	uint32_t id;
	int shared_fd; /* unix and systemd: one for all, -1: none */
	uint32_t shared_asked; /* likewise */
	bool made_file;
	char service[SERVICE_NAME_SIZE];
	struct share of[CENSUS_RELAYS];
};

/* NULL: no memory, or no id is left. */
struct listener *listener_new(const struct address *where, const struct service_config *service, struct plan_ids *ids);
void listener_free(struct listener *listener); /* with its sockets, and the socket file that it made */

bool listener_is_shared(const struct listener *listener);

/* Closes the copy that was on its way. */
void listener_drop(struct listener *listener, uint32_t place);

/* A socket for that place, bound if there is none yet; `alone`: no other of this tree may have the port. 0 or -errno with
 * `error`. */
int listener_obtain(struct listener *listener, const struct gifts *gifts, uint32_t place, bool alone, char error[BIND_ERROR_SIZE]);

/* Whether a ledger's entry is that listener. */
bool listener_is(const struct listener *listener, const struct ledger_listener *entry);
/* Whether it lists that socket of it, NULL: no; PLACE_ANY: one of them. */
enum { PLACE_ANY = UINT32_MAX };
bool listener_listed(const struct listener *listener, const struct ledger *ledger, uint32_t place);
bool listener_opened(const struct listener *listener, const struct ledger *ledger, uint32_t place); /* and listens there */
bool listener_listed_anywhere(const struct listener *listener, const struct ledger_view *view, uint32_t place);

#endif
