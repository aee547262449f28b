#include "steward/config/check.h"
#include "steward/config/explain.h"
#include "steward/lease/database.h"
#include "steward/log/log.h"
#include "steward/steward.h"
#include "wire/versions.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int usage(void)
{
	fprintf(stderr, "This is a part of tcpwarden(8), which starts it as it needs it. By hand it does this:\n"
			"  steward --check CONFIG    says what is wrong with a config (78) or that it is right (0)\n"
			"  steward --explain CONFIG [SERVICE]\n"
			"                            says after how long what is given up, on this kernel\n"
			"  steward --settings        lists every setting, its type, default and meaning\n"
			"  steward --version\n");
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	static const struct version versions[] = {VERSION_ONLY("message", MESSAGE_VERSION),
		VERSION_ONLY("ledger", LEDGER_VERSION), VERSION_ONLY("census", CENSUS_VERSION),
		VERSION_ONLY("plan", PLAN_VERSION), {"database", DATABASE_SCHEMA, DATABASE_OLDEST, DATABASE_SCHEMA},
		VERSIONS_END};
	bool resume = argc == 4 && strcmp(argv[3], "--resume") == 0;
	int status = versions_main(versions, argc, argv);

	if (status >= 0)
		return status;
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check_main(argv[2]);
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "--explain") == 0)
		return explain_main(argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[1], "--settings") == 0)
		return settings_main();
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("tcpwarden steward %s\n", TCPWARDEN_VERSION);
		return fflush(stdout) == 0 ? 0 : EX_IOERR;
	}
	if ((argc == 3 || resume) && strcmp(argv[1], "--role") == 0) {
		log_open();
		return steward_run(argv[2], resume);
	}
	return usage();
}
