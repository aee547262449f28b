#include "steward/config/check.h"

#include "steward/config/config.h"
#include "steward/config/settings.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static void warn_hook(FILE *err, const struct config *config, size_t index, const char *name, const struct hook_config *hook)
{
	const char *program;
	struct stat st;

	if (!hook->command)
		return;
	program = hook->command[0];
	if (stat(program, &st) < 0)
		fprintf(err, "%s: warning: services[%zu].hooks.%s.command: %s: %s\n", config->file, index, name, program,
			strerror(errno));
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		fprintf(err, "%s: warning: services[%zu].hooks.%s.command: %s: not a program that can be run (chmod +x?)\n",
			config->file, index, name, program);
	if (hook->directory && (stat(hook->directory, &st) < 0 || !S_ISDIR(st.st_mode)))
		fprintf(err, "%s: warning: services[%zu].hooks.%s.directory: %s: no such directory\n", config->file, index, name,
			hook->directory);
}

/* What is likely a mistake, but might be meant, or may be mended before the daemon starts. */
static void warn(FILE *err, const struct config *config)
{
	if (config->control_group && !getgrnam(config->control_group))
		fprintf(err, "%s: warning: control.group: there is no group \"%s\" on this machine\n", config->file,
			config->control_group);
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service_config *s = &config->services[i];

		warn_hook(err, config, i, "acquire", &s->acquire);
		warn_hook(err, config, i, "release", &s->release);
		if (s->acquire.command && !s->release.command)
			fprintf(err,
				"%s: warning: services[%zu].hooks: an acquire without a release: what it takes is never given "
				"back\n",
				config->file, i);
		if (s->reject_message && !s->limit_connections)
			fprintf(err,
				"%s: warning: services[%zu].limits: a reject_message without a limit of connections is never "
				"sent\n",
				config->file, i);
	}
}

int check_report(const char *path, FILE *out, FILE *err)
{
	struct config_errors errors = {NULL, 0};
	struct config *config = NULL;
	size_t listeners = 0, backends = 0;
	int r = config_load(path, &config, &errors);

	if (r == -ENOMEM) {
		fprintf(err, "%s: out of memory\n", path);
		return EX_OSERR;
	}
	if (r < 0) {
		for (size_t i = 0; i < errors.count; i++)
			fprintf(err, "%s\n", errors.lines[i]);
		if (r == -EINVAL)
			fprintf(err, "%s: %zu error%s\n", path, errors.count, errors.count == 1 ? "" : "s");
		config_errors_free(&errors);
		return EX_CONFIG;
	}
	warn(err, config);
	for (size_t i = 0; i < config->service_count; i++) {
		listeners += config->services[i].listen_count;
		backends += config->services[i].backend_count;
	}
	fprintf(out, "%s: ok: %zu service%s, %zu listener%s, %zu backend%s\n", path, config->service_count,
		config->service_count == 1 ? "" : "s", listeners, listeners == 1 ? "" : "s", backends, backends == 1 ? "" : "s");
	config_free(config);
	return 0;
}

int check_main(const char *path)
{
	return check_report(path, stdout, stderr);
}

int settings_main(void)
{
	settings_print(stdout);
	return fflush(stdout) == 0 ? 0 : EX_IOERR;
}
