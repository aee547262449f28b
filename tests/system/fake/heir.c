/* A relay's program of another version that cannot do it. What it does wrong is the word after "heir-" in its own file's name. */
#include "relay/hand_over.h"
#include "relay/holder.h"
#include "relay/relay.h"
#include "relay/take_over.h"
#include "wire/inherit.h"
#include "wire/versions.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_relay_run(const struct relay_birth *birth, char *title);
int __wrap_relay_run(const struct relay_birth *birth, char *title);

static const char *fault;

static bool fault_is(const char *name)
{
	return strcmp(fault, name) == 0;
}

static void hang(void)
{
	for (;;)
		pause();
}

/* It says that it took over, and never moves a byte. */
static void take(const struct relay_birth *birth)
{
	struct hand_over_packet taken = {0};
	struct ledger ledger;

	if (ledger_map(&ledger, HOLDER_LEDGER, true) < 0 || !ledger_owner_move(ledger.header, birth->owner, getpid()))
		abort();
	atomic_store(&ledger.header->ready, 0);
	if (birth->inheritance) {
		atomic_store(&ledger.header->handed_over, birth->inheritance->number);
		hand_over_send(birth->inheritance->giver, &taken, HAND_OVER_TAKEN, NULL);
	}
}

int __wrap_relay_run(const struct relay_birth *birth, char *title)
{
	if (fault_is("relay-exits"))
		return 1;
	if (fault_is("relay-hangs"))
		hang();
	if (fault_is("adoption-crashes")) {
		take(birth);
		_exit(139);
	}
	if (fault_is("adoption-hangs")) {
		take(birth);
		hang();
	}
	return __real_relay_run(birth, title);
}

int main(int argc, char **argv)
{
	static const struct version versions[] = {VERSION_ONLY("hand-over", HAND_OVER_VERSION),
		VERSION_ONLY("message", MESSAGE_VERSION), VERSION_ONLY("ledger", LEDGER_VERSION),
		VERSION_ONLY("census", CENSUS_VERSION), VERSION_ONLY("plan", PLAN_VERSION), VERSIONS_END};
	struct inheritance inheritance;
	int status;
	static char path[PATH_MAX];

	if (readlink("/proc/self/exe", path, sizeof path - 1) < 0 || !strstr(path, "heir-"))
		return 2;
	fault = strstr(path, "heir-") + strlen("heir-");
	if (fault_is("unreadable"))
		return 3;
	status = versions_main(versions, argc, argv);
	if (status >= 0)
		return status;
	if (argc < 2 || fault_is("exits"))
		return 3;
	if (fault_is("is-mute"))
		hang();
	if (fault_is("hangs")) {
		take_over(&inheritance);
		hang();
	}
	memset(argv[1], 0, strlen(argv[1]));
	return holder_run(argv[0], true);
}
