/* What the command line of tcpwarden(8) asks for. A pure function of argv. */
#ifndef SUPERVISOR_OPTIONS_H
#define SUPERVISOR_OPTIONS_H

enum command { COMMAND_RUN, COMMAND_CHECK, COMMAND_EXPLAIN, COMMAND_END_TREE, COMMAND_VERSION, COMMAND_HELP };

struct options {
	enum command command;
	const char *config;  /* path as given, or the default */
	const char *service; /* COMMAND_EXPLAIN: its name; NULL: all */
};

/* 0 or -EINVAL, with what is wrong and how to say it right in `error`. */
int options_parse(struct options *ret, int argc, char **argv, char error[256]);

extern const char options_usage[];

#endif
