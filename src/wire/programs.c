#include "wire/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

int programs_find(char ret[PATH_MAX], const char *name, char error[512])
{
	const char *list = secure_getenv("TCPWARDEN_LIBEXECDIR");
	const char *at;

	if (!list || !*list)
		list = TCPWARDEN_LIBEXECDIR;
	at = list;
	for (;;) {
		size_t length = strcspn(at, ":");
		struct stat st;

		if (length && snprintf(ret, PATH_MAX, "%.*s/%s", (int)length, at, name) < PATH_MAX && stat(ret, &st) == 0 &&
			S_ISREG(st.st_mode) && access(ret, X_OK) == 0)
			return 0;
		if (!at[length])
			break;
		at += length + 1;
	}
	snprintf(error, 512, "there is no program %s in %.400s: is tcpwarden installed whole?", name, list);
	return EX_OSFILE;
}
