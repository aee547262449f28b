#include "supervisor/member.h"

#include "base/clock.h"
#include "supervisor/proc.h"
#include "supervisor/succession.h"
#include "supervisor/tree.h"
#include "supervisor/workers.h"
#include "wire/say.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static const char *const role_words[] = {[MEMBER_HOLDER] = "holder", [MEMBER_RELAY] = "relay"};

static struct estate_name name_of(const struct member *member)
{
	return (struct estate_name){member->role == MEMBER_HOLDER ? ESTATE_HOLDER : ESTATE_RELAY, member->pair->index,
		(uint32_t)process_pid(member->process)};
}

static void leave(struct member *member)
{
	estate_leave(&member->pair->tree->estate, name_of(member), process_fd(member->process));
}

static void withdraw(struct member *member)
{
	estate_withdraw(&member->pair->tree->estate, name_of(member));
}

static void on_member_exit(void *owner, struct process *process, int status)
{
	struct member *member = owner;
	struct pair *pair = member->pair;
	char how[64];
	bool expected;

	for (struct member **at = &pair->members; *at; at = &(*at)->next) {
		if (*at == member) {
			*at = member->next;
			break;
		}
	}
	withdraw(member);
	/* The relay's own status is its holder's to know: -1. */
	expected = member->leaving || (status <= 0 && !workers_want(pair));
	process_format_status(status, how);
	if (!tree_is_ending(pair->tree))
		say(expected ? LOG_INFO : LOG_WARNING, "%s %" PRIu32 " (process %ld) %s%s", role_words[member->role],
			pair->index, (long)process_pid(process), how, member->leaving ? ", handed over" : "");
	free(member);
	pair_on_member_gone(pair);
}

static struct member *member_new(struct pair *pair, enum member_role role)
{
	struct member *member = calloc(1, sizeof *member);

	if (!member)
		return NULL;
	member->pair = pair;
	member->role = role;
	member->since_ns = clock_mono_ns();
	return member;
}

static void member_list(struct member *member, struct process *process)
{
	member->process = process;
	member->next = member->pair->members;
	member->pair->members = member;
	member->pair->unknown_since_ns = 0;
}

void member_kill(struct member *member)
{
	member->killed = true;
	process_signal(member->process, SIGKILL);
}

int member_spawn(struct pair *pair, const struct spawn *spawn)
{
	struct member *member = member_new(pair, MEMBER_HOLDER);
	struct process *process = member ? process_spawn(&pair->tree->loop, spawn, on_member_exit, member) : NULL;

	if (!process) {
		int r = member ? -errno : -ENOMEM;

		free(member);
		return r;
	}
	member_list(member, process);
	leave(member);
	tree_let_run(pair->tree);
	return 0;
}

void member_claim(struct pair *pair, struct message *message, enum member_role role)
{
	pid_t pid = message->body.process.pid;
	struct member *member;
	struct process *process;

	member = member_find(pair, pid);
	if (member) {
		withdraw(member);
		member->role = role;
		leave(member);
		return;
	}
	member = member_new(pair, role);
	process = member ? process_adopt(&pair->tree->loop, message->fds[0], pid, pair->tree->privilege.relay_uid, on_member_exit,
				   member)
			 : NULL;
	if (!process) {
		if (member)
			message->fds[0] = -1; /* process_adopt has closed it */
		if (errno != ESRCH)
			say(LOG_ERR, "%s %" PRIu32 ": process %ld cannot be watched: %s%s", role_words[role], pair->index,
				(long)pid, strerror(errno),
				errno == EACCES ? " (/proc hides it: mount it without hidepid=)" : "");
		free(member);
		return;
	}
	message->fds[0] = -1;
	member_list(member, process);
	leave(member);
	/* A relay that died between hearing of us and noting it has left its successor with the pidfd of the dead one. */
	if (role == MEMBER_RELAY)
		pair_introduce_tree(pair);
	/* Cloned by a holder in its last moment, after all others were sent SIGKILL. */
	if (tree_is_ending(pair->tree) && pair->tree->end_killed)
		member_kill(member);
}

static void take_up(struct pair *pair, enum estate_kind kind, enum member_role role)
{
	struct estate *estate = &pair->tree->estate;
	struct estate_name name = {kind, pair->index, 0};

	while (estate_any(estate, kind, pair->index, &name.number)) {
		struct member *member = member_new(pair, role);
		int pidfd = estate_take(estate, name);
		struct process *process = NULL;

		if (member)
			process = process_adopt(&pair->tree->loop, pidfd, (pid_t)name.number, pair->tree->privilege.relay_uid,
				on_member_exit, member);
		else
			close(pidfd);
		if (process) {
			member_list(member, process);
			continue;
		}
		estate_withdraw(estate, name); /* it died meanwhile */
		free(member);
	}
}

void member_take_up(struct pair *pair)
{
	take_up(pair, ESTATE_HOLDER, MEMBER_HOLDER);
	take_up(pair, ESTATE_RELAY, MEMBER_RELAY);
}

/* What the ledger names is a claim: only a child of ours that runs as a relay is believed (orphans of the tree come to us), and
 * where we took the tree up, one of the unit. At worst that is another pair's, which gets over it. */
void member_end_unknown(struct pair *pair)
{
	pid_t pid = pair->ledger.header
			    ? ledger_owner_pid(atomic_load_explicit(&pair->ledger.header->owner, memory_order_relaxed))
			    : 0;
	struct member *member = pid > 1 ? member_new(pair, MEMBER_RELAY) : NULL;
	int pidfd = member ? pidfd_open(pid, 0) : -1;
	struct process *process;

	if (pidfd < 0) {
		free(member);
		return;
	}
	process = process_adopt(&pair->tree->loop, pidfd, pid, pair->tree->privilege.relay_uid, on_member_exit, member);
	if (!process || !(process_is_child(process) || (pair->tree->taken_up && proc_is_of_our_cgroup(pid)))) {
		process_forget(process);
		free(member);
		return;
	}
	member_list(member, process);
	leave(member);
	if (!tree_is_ending(pair->tree))
		say(LOG_WARNING, "relay %" PRIu32 " (process %ld) lost its holder and does not take its place: ended",
			pair->index, (long)pid);
	member_kill(member);
}

struct member *member_newest_relay(const struct pair *pair)
{
	for (struct member *member = pair->members; member; member = member->next)
		if (member->role == MEMBER_RELAY)
			return member;
	return NULL;
}

struct member *member_find(const struct pair *pair, pid_t pid)
{
	for (struct member *member = pair->members; member; member = member->next)
		if (process_pid(member->process) == pid)
			return member;
	return NULL;
}

void members_leave(struct pair *pair, bool leaving)
{
	for (struct member *member = pair->members; member; member = member->next)
		member->leaving = leaving;
}

void members_end_leaving(struct pair *pair)
{
	for (struct member *member = pair->members; member; member = member->next)
		if (member->leaving && !member->killed)
			member_kill(member);
}

void members_forget(struct pair *pair)
{
	while (pair->members) {
		struct member *member = pair->members;

		pair->members = member->next;
		withdraw(member);
		process_forget(member->process);
		free(member);
	}
}
