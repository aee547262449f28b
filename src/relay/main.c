/* The holder, and through it the relay: one program, since only a clone shares the descriptor table. */
#include "relay/hand_over.h"
#include "relay/holder.h"
#include "wire/versions.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	static const struct version versions[] = {VERSION_ONLY("hand-over", HAND_OVER_VERSION),
		VERSION_ONLY("message", MESSAGE_VERSION), VERSION_ONLY("ledger", LEDGER_VERSION),
		VERSION_ONLY("census", CENSUS_VERSION), VERSION_ONLY("plan", PLAN_VERSION), VERSIONS_END};
	int status = versions_main(versions, argc, argv);
	bool heir = argc > 1 && strcmp(argv[1], "--take-over") == 0;

	if (status >= 0)
		return status;
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("tcpwarden relay " TCPWARDEN_VERSION);
		return 0;
	}
	if (heir) /* it is a holder like any other soon, also in ps(1) */
		memset(argv[1], 0, strlen(argv[1]));
#ifndef __SANITIZE_ADDRESS__ /* the leak checker must look at us */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	prctl(PR_SET_NAME, "tcpw-holder");
	return holder_run(argv[0], heir);
}
