/* One address that clients connect to, and the sockets for it that are on their way to relays. Owner: the listeners (their
 * lists); ends by listener_free. Known to this folder only. */
#ifndef STEWARD_LISTEN_LISTENER_H
#define STEWARD_LISTEN_LISTENER_H
#include "steward/listen/bind.h"
#include "steward/listen/gifts.h"
#include "steward/listen/listeners.h"

/* What one relay has been given of one address. */
struct share {
	int fd; /* its own socket on the way to it, -1: none */
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
	bool made_file;
	char service[SERVICE_NAME_SIZE];
	struct share of[CENSUS_RELAYS];
};

/* NULL: no memory, or no id is left. */
struct listener *listener_new(const struct address *where, const struct service_config *service, struct plan_ids *ids);
void listener_free(struct listener *listener); /* with its sockets, and the socket file that it made */

/* Closes the copy that was on its way to that relay. */
void listener_drop(struct listener *listener, uint32_t relay);

/* A socket for that relay, bound if there is none yet; `alone`: no other of this tree may have the port. 0 or -errno with
 * `error`. */
int listener_obtain(struct listener *listener, const struct gifts *gifts, const struct ledger_view *view, uint32_t relay,
	bool alone, char error[BIND_ERROR_SIZE]);

/* Whether a ledger's entry is that listener, open. */
bool listener_is(const struct listener *listener, const struct ledger_listener *entry);
bool listener_listed(const struct listener *listener, const struct ledger *ledger); /* NULL: no */
bool listener_listed_anywhere(const struct listener *listener, const struct ledger_view *view);

#endif
